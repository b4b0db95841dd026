//! Opus by libopus, as a decoder for symphonia.

use std::sync::{Mutex, PoisonError};

use opusic_c::{Decoder, ErrorCode, SampleRate};
use symphonia::core::audio::{
    AsGenericAudioBufferRef, Audio, AudioBuffer, AudioMut, AudioSpec, GenericAudioBufferRef,
};
use symphonia::core::codecs::CodecInfo;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{
    AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult,
};
use symphonia::core::codecs::registry::{RegisterableAudioDecoder, SupportedAudioCodec};
use symphonia::core::errors::{Error, Result, decode_error, unsupported_error};
use symphonia::core::packet::PacketRef;

/// Rate that Opus decodes to and counts its delay in.
pub(crate) const RATE: u32 = 48_000;
/// Frames of the longest packet (120 ms).
const LONGEST: usize = RATE as usize * 120 / 1000;
/// From here on, libopus enhances speech of low bit rates (LACE: Büthe et al. 2023), which brings the voice nearer to
/// the original's: cosine 0.85 -> 0.88 at 9 kbit/s, 0.942 -> 0.945 at 16. At 7 (NoLACE) it costs four times as much and
/// loses at 24.
const COMPLEXITY: u8 = 6;

pub(crate) struct OpusDecoder {
    params: AudioCodecParameters,
    /// Shared by nobody: the trait wants `Sync`, which a decoder is not.
    decoder: Mutex<Decoder>,
    buffer: AudioBuffer<f32>,
    /// Interleaved frames of the last packet.
    frames: Vec<f32>,
}

impl OpusDecoder {
    fn new(params: &AudioCodecParameters) -> Result<Self> {
        let Some(layout) = params.channels.clone() else {
            return unsupported_error("opus: the number of channels is not known");
        };
        let channels = match layout.count() {
            1 => opusic_c::Channels::Mono,
            2 => opusic_c::Channels::Stereo,
            _ => return unsupported_error("opus: more than two channels"),
        };
        let mut decoder = Decoder::new(channels, SampleRate::Hz48000).map_err(failed)?;
        decoder.set_complexity(COMPLEXITY).map_err(failed)?;
        let frames = vec![0.0; LONGEST * layout.count()];
        Ok(OpusDecoder {
            params: params.clone(),
            decoder: Mutex::new(decoder),
            buffer: AudioBuffer::new(AudioSpec::new(RATE, layout), LONGEST),
            frames,
        })
    }
}

fn inner(decoder: &mut Mutex<Decoder>) -> &mut Decoder {
    decoder.get_mut().unwrap_or_else(PoisonError::into_inner)
}

impl AudioDecoder for OpusDecoder {
    fn reset(&mut self) {
        // libopus fails at this for no decoder that it has made.
        let _ = inner(&mut self.decoder).reset();
        self.buffer.clear();
    }

    fn codec_info(&self) -> &CodecInfo {
        &Self::supported_codecs()[0].info
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.params
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        // An empty packet is a lost one to libopus, to be made up at full length.
        if packet.data.is_empty() {
            return decode_error("opus: an empty packet");
        }
        let decoded = inner(&mut self.decoder)
            .decode_float_to_slice(packet.data, &mut self.frames, false)
            .map_err(failed)?
            .min(LONGEST);
        self.buffer.render_uninit(Some(decoded));
        let channels = self.buffer.spec().channels().count();
        self.buffer
            .copy_from_slice_interleaved(&&self.frames[..decoded * channels]);
        self.buffer.trim(
            packet.trim_start.get() as usize,
            packet.trim_end.get() as usize,
        );
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}

impl RegisterableAudioDecoder for OpusDecoder {
    fn try_registry_new(
        params: &AudioCodecParameters,
        _: &AudioDecoderOptions,
    ) -> Result<Box<dyn AudioDecoder>> {
        Ok(Box::new(Self::new(params)?))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        const OPUS: &[SupportedAudioCodec] = &[SupportedAudioCodec {
            id: CODEC_ID_OPUS,
            info: CodecInfo {
                short_name: "opus",
                long_name: "Opus",
                profiles: &[],
            },
        }];
        OPUS
    }
}

fn failed(error: ErrorCode) -> Error {
    Error::DecodeError(match error {
        ErrorCode::InvalidPacket => "opus: the packet is damaged",
        ErrorCode::BufferTooSmall => "opus: a packet of more than 120 ms",
        ErrorCode::AllocFail => "opus: out of memory",
        _ => "opus: libopus failed",
    })
}
