//! What the first bytes say when no demuxer knows them.

use crate::Error;

/// Bytes of a file's head that [`refuse_unsupported`] looks at.
pub(crate) const HEAD: usize = 512;

/// Magic bytes of formats that are audio but have no decoder here.
const UNSUPPORTED: &[(&[u8], &str)] = &[
    (b"\x0b\x77", "AC-3"),
    (b"#!AMR-WB_MC", "AMR-WB of several channels"),
    (b"#!AMR_MC", "AMR-NB of several channels"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA (ASF)"),
    (b"TTA1", "TTA"),
    (b"TTA2", "TTA"),
    (b"wvpk", "WavPack"),
    (b"MAC ", "Monkey's Audio"),
    (b"MPCK", "Musepack"),
    (b"MP+", "Musepack"),
    (b"DSD ", "DSD"),
    (b"FRM8", "DSD"),
    (b".RMF", "RealMedia"),
    (b".ra\xfd", "RealAudio"),
    (b"MThd", "MIDI"),
    (b"FLV\x01", "Flash video"),
    (b"\0\0\x01\xba", "MPEG program stream"),
    (b"OFR ", "OptimFROG"),
    (b"\x7f\xfe\x80\x01", "DTS"),
    (b"\xfe\x7f\x01\x80", "DTS"),
];

/// First bytes of the containers that symphonia reads, at an offset.
const KNOWN: &[(usize, &[u8], &str)] = &[
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (4, b"ftyp", "mp4"),
    (0, b"caff", "caf"),
    (0, b"ID3", "mp3"),
    (0, b"#!AMR", "amr"),
];

/// The container that the first bytes promise.
pub(crate) fn known_container(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| {
        head.get(offset..)
            .is_some_and(|rest| rest.starts_with(magic))
    };
    KNOWN
        .iter()
        .find(|(offset, magic, _)| at(*offset, magic))
        .map(|(_, _, name)| *name)
}

/// Whether a recording begins with these bytes: enough to know one behind another.
pub(crate) fn begins_recording(head: &[u8]) -> bool {
    let form = head.get(8..12).unwrap_or_default();
    match head.get(..4).unwrap_or_default() {
        b"RIFF" | b"RIFX" | b"RF64" | b"BW64" => form == b"WAVE" || form == b"AVI ",
        b"FORM" => form == b"AIFF" || form == b"AIFC",
        b"riff" => head.get(4..8) == Some(b"\x2e\x91\xcf\x11"),
        b"OggS" => head.get(4..6) == Some(b"\0\x02"),
        b".snd" | b"caff" => true,
        _ if head.starts_with(b"ID3") => {
            head.get(3).is_some_and(|version| (2..=4).contains(version))
        }
        _ => known_container(head).is_some(),
    }
}

/// Turns away formats that are known to have no decoder, before a demuxer finds something in them.
pub(crate) fn refuse_unsupported(head: &[u8]) -> Result<(), Error> {
    match UNSUPPORTED
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
    {
        Some((_, format)) => Err(Error::Unsupported {
            format: (*format).into(),
        }),
        None if (0..3).all(|n| head.get(n * 188) == Some(&0x47)) => Err(Error::Unsupported {
            format: "MPEG transport stream".into(),
        }),
        None if head.get(28..36) == Some(b"Speex   ") => Err(Error::Unsupported {
            format: "Speex in Ogg".into(),
        }),
        None if head.starts_with(b"RIFF") => Err(Error::Unsupported {
            format: riff_form(head),
        }),
        None => Ok(()),
    }
}

fn riff_form(head: &[u8]) -> String {
    let form = head.get(8..12).unwrap_or_default();
    if form == b"AVI " {
        "AVI".into()
    } else {
        format!("RIFF form '{}'", form.escape_ascii())
    }
}

/// The error for bytes that no demuxer took, named as well as the bytes allow.
pub(crate) fn not_audio(head: &[u8]) -> Error {
    let found = if head.starts_with(b"version https://git-lfs") {
        "it is a Git LFS pointer; fetch the real file with `git lfs pull`"
    } else if is_text(head) {
        "it is a text file"
    } else {
        "its bytes match no audio format (samples without a header, such as raw PCM, GSM or G.722, cannot be recognised; put them into WAV)"
    };
    Error::NotAudio {
        found: found.into(),
    }
}

fn is_text(head: &[u8]) -> bool {
    let printable = |c: char| !c.is_control() || c.is_whitespace();
    match std::str::from_utf8(head) {
        Ok(text) => text.chars().all(printable),
        // A character may be cut at the end of the head.
        Err(error) => {
            error.error_len().is_none()
                && std::str::from_utf8(&head[..error.valid_up_to()])
                    .is_ok_and(|t| t.chars().all(printable))
        }
    }
}
