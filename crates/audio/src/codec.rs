//! Codecs and containers: which there are, and how ffmpeg names them.

use std::sync::LazyLock;

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::*;
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::formats::FormatId;
use symphonia::core::formats::probe::Probe;
use symphonia::core::formats::well_known::*;

use crate::amr::{CODEC_ID_AMR_NB, CODEC_ID_AMR_WB};

/// Every decoder: symphonia's own, libopus and AMR's.
pub(crate) static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<crate::opus::OpusDecoder>();
    codecs.register_audio_decoder::<crate::amr::AmrDecoder>();
    codecs
});

/// Every container.
pub(crate) static FORMATS: LazyLock<Probe> = LazyLock::new(|| {
    let mut formats = Probe::default();
    symphonia::default::register_enabled_formats(&mut formats);
    formats
});

/// ffmpeg's name of a codec.
pub(crate) fn codec_name(codec: AudioCodecId) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|(id, _)| *id == codec)
        .map(|(_, name)| *name)
}

/// Whether each packet decodes by itself, so that a seek needs no run-up.
pub(crate) fn is_memoryless(codec: &str) -> bool {
    codec.starts_with("pcm_") || is_adpcm(codec) || matches!(codec, "flac" | "alac")
}

/// Whether it is ADPCM in blocks, with the state of the decoder at the start of each: not that of telephone networks.
pub(crate) fn is_adpcm(codec: &str) -> bool {
    codec.starts_with("adpcm_") && !codec.starts_with("adpcm_g7")
}

/// Name of a container; `head` tells WebM from other Matroska files.
pub(crate) fn container_name(
    format: FormatId,
    short_name: &'static str,
    head: &[u8],
) -> &'static str {
    match format {
        FORMAT_ID_MP1 => "mp1",
        FORMAT_ID_MP2 => "mp2",
        FORMAT_ID_MP3 => "mp3",
        FORMAT_ID_ADTS => "adts",
        FORMAT_ID_ISOMP4 => "mp4",
        FORMAT_ID_MKV if head.windows(4).take(64).any(|word| word == b"webm") => "webm",
        FORMAT_ID_MKV => "matroska",
        _ => short_name,
    }
}

const NAMES: &[(AudioCodecId, &str)] = &[
    (CODEC_ID_PCM_S32LE, "pcm_s32le"),
    (CODEC_ID_PCM_S32BE, "pcm_s32be"),
    (CODEC_ID_PCM_S24LE, "pcm_s24le"),
    (CODEC_ID_PCM_S24BE, "pcm_s24be"),
    (CODEC_ID_PCM_S16LE, "pcm_s16le"),
    (CODEC_ID_PCM_S16BE, "pcm_s16be"),
    (CODEC_ID_PCM_S8, "pcm_s8"),
    (CODEC_ID_PCM_U32LE, "pcm_u32le"),
    (CODEC_ID_PCM_U32BE, "pcm_u32be"),
    (CODEC_ID_PCM_U24LE, "pcm_u24le"),
    (CODEC_ID_PCM_U24BE, "pcm_u24be"),
    (CODEC_ID_PCM_U16LE, "pcm_u16le"),
    (CODEC_ID_PCM_U16BE, "pcm_u16be"),
    (CODEC_ID_PCM_U8, "pcm_u8"),
    (CODEC_ID_PCM_F32LE, "pcm_f32le"),
    (CODEC_ID_PCM_F32BE, "pcm_f32be"),
    (CODEC_ID_PCM_F64LE, "pcm_f64le"),
    (CODEC_ID_PCM_F64BE, "pcm_f64be"),
    (CODEC_ID_PCM_ALAW, "pcm_alaw"),
    (CODEC_ID_PCM_MULAW, "pcm_mulaw"),
    (CODEC_ID_ADPCM_G722, "adpcm_g722"),
    (CODEC_ID_ADPCM_G726, "adpcm_g726"),
    (CODEC_ID_ADPCM_G726LE, "adpcm_g726le"),
    (CODEC_ID_ADPCM_MS, "adpcm_ms"),
    (CODEC_ID_ADPCM_IMA_WAV, "adpcm_ima_wav"),
    (CODEC_ID_ADPCM_IMA_QT, "adpcm_ima_qt"),
    (CODEC_ID_VORBIS, "vorbis"),
    (CODEC_ID_OPUS, "opus"),
    (CODEC_ID_AMR_NB, "amr_nb"),
    (CODEC_ID_AMR_WB, "amr_wb"),
    (CODEC_ID_SPEEX, "speex"),
    (CODEC_ID_MUSEPACK, "musepack8"),
    (CODEC_ID_MP1, "mp1"),
    (CODEC_ID_MP2, "mp2"),
    (CODEC_ID_MP3, "mp3"),
    (CODEC_ID_AAC, "aac"),
    (CODEC_ID_AC3, "ac3"),
    (CODEC_ID_EAC3, "eac3"),
    (CODEC_ID_AC4, "ac4"),
    (CODEC_ID_DCA, "dts"),
    (CODEC_ID_WMA, "wma"),
    (CODEC_ID_FLAC, "flac"),
    (CODEC_ID_WAVPACK, "wavpack"),
    (CODEC_ID_MONKEYS_AUDIO, "ape"),
    (CODEC_ID_ALAC, "alac"),
    (CODEC_ID_TTA, "tta"),
    (CODEC_ID_TRUEHD, "truehd"),
];
