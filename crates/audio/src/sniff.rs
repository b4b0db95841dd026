//! What the first bytes say when no demuxer knows them.

use crate::Error;

/// Bytes of a file's head that [`refuse`] looks at.
pub(crate) const HEAD: usize = 512;

/// Magic bytes of formats that are audio but have no decoder here.
const UNSUPPORTED: &[(&[u8], &str)] = &[
    (b"\x0b\x77", "AC-3"),
    (b"#!AMR-WB", "AMR-WB"),
    (b"#!AMR", "AMR-NB"),
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
    (b"OFR ", "OptimFROG"),
    (b"\x7f\xfe\x80\x01", "DTS"),
    (b"\xfe\x7f\x01\x80", "DTS"),
];

/// The error for bytes that no demuxer took, named as well as the bytes allow.
pub(crate) fn refuse(head: &[u8]) -> Error {
    if let Some((_, format)) = UNSUPPORTED
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
    {
        return Error::Unsupported {
            format: (*format).into(),
        };
    }
    let found = if head.starts_with(b"version https://git-lfs") {
        "it is a Git LFS pointer; fetch the real file with `git lfs pull`"
    } else if is_text(head) {
        "it is a text file"
    } else {
        "the first bytes match no audio format"
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
