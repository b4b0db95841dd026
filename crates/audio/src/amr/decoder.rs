//! AMR-NB and AMR-WB (3GPP TS 26.071, 26.171) as a decoder for symphonia. A packet is one frame of the storage format or several,
//! each with its header (RFC 4867, section 5.3).

use codec_core::codecs::amr::mode::{AmrMode, AmrVariant};
use codec_core::codecs::amr::{nb, wb};
use symphonia::core::audio::{
    AsGenericAudioBufferRef, AudioBuffer, AudioMut, AudioSpec, GenericAudioBufferRef,
};
use symphonia::core::codecs::CodecInfo;
use symphonia::core::codecs::audio::{
    AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult,
};
use symphonia::core::codecs::registry::{RegisterableAudioDecoder, SupportedAudioCodec};
use symphonia::core::errors::{Result, decode_error, unsupported_error};
use symphonia::core::packet::PacketRef;

use super::{Band, CODEC_ID_AMR_NB, CODEC_ID_AMR_WB, mono};

/// Most frames of a packet: those of MP4 have up to 15 (3GPP TS 26.244, section 6.7).
const MOST: usize = 16;

enum Speech {
    Narrow(Box<nb::decoder::Decoder>),
    Wide(Box<wb::decoder::Decoder>),
}

impl Speech {
    fn new(band: Band) -> Self {
        match band {
            Band::Narrow => Speech::Narrow(Box::default()),
            Band::Wide => Speech::Wide(Box::default()),
        }
    }

    /// Appends the samples of a frame: the header's type and mark of quality, and the bits behind. `mode` is that of the last frame
    /// which told one. `None` is a frame that cannot be read.
    fn decode(
        &mut self,
        kind: u8,
        good: bool,
        bits: &[u8],
        mode: &mut u8,
        out: &mut Vec<f32>,
    ) -> Option<()> {
        let samples: &[i16] = match self {
            Speech::Narrow(decoder) => {
                use nb::dtx::RxFrameType as Type;
                let (received, params) = match kind {
                    0..8 => {
                        *mode = kind;
                        let received = if good {
                            Type::SpeechGood
                        } else {
                            Type::SpeechBad
                        };
                        (received, nb::bitstream::parse(kind, bits)?)
                    }
                    8 => {
                        let sid = nb::bitstream::parse_sid_header(bits)?;
                        *mode = sid.mode_index;
                        let received = match (good, sid.update) {
                            (false, _) => Type::SidBad,
                            (true, true) => Type::SidUpdate,
                            (true, false) => Type::SidFirst,
                        };
                        (received, nb::bitstream::parse(kind, bits)?)
                    }
                    _ => (Type::NoData, Vec::new()),
                };
                &decoder.decode_typed(received, *mode, &params)
            }
            Speech::Wide(decoder) => {
                use wb::dtx::RxFrameType as Type;
                use wb::gain::FrameQuality as Quality;
                &match kind {
                    0..9 => {
                        *mode = kind;
                        let quality = if good { Quality::Good } else { Quality::Bad };
                        decoder.decode_frame(of_mode(kind)?, bits, quality)?
                    }
                    9 => {
                        *mode = wb::bitstream::sid_mode_indication(bits)
                            .filter(|mode| *mode < 9)
                            .unwrap_or(*mode);
                        let received = match (good, wb::bitstream::sid_is_update(bits)) {
                            (false, _) => Type::SidBad,
                            (true, true) => Type::SidUpdate,
                            (true, false) => Type::SidFirst,
                        };
                        decoder.decode_comfort_noise(received, bits, *mode)?
                    }
                    14 => decoder.decode_frame(of_mode(*mode)?, &[], Quality::Unusable)?,
                    _ => decoder.decode_comfort_noise(Type::NoData, &[], *mode)?,
                }
            }
        };
        // AMR-WB is heard at 14 bits, as the 3GPP's program writes it (TS 26.173); of AMR-NB, the decoder has cleared three bits itself.
        let samples = samples.iter().map(|sample| f32::from(sample & !3));
        out.extend(samples.map(|sample| sample / 32_768.0));
        Some(())
    }
}

fn of_mode(index: u8) -> Option<AmrMode> {
    AmrMode::new(AmrVariant::WideBand, index).ok()
}

pub(crate) struct AmrDecoder {
    params: AudioCodecParameters,
    band: Band,
    speech: Speech,
    mode: u8,
    buffer: AudioBuffer<f32>,
    frames: Vec<f32>,
}

impl AmrDecoder {
    fn new(params: &AudioCodecParameters) -> Result<Self> {
        let Some(band) = Band::of_codec(params.codec) else {
            return unsupported_error("amr: another codec");
        };
        if params.channels.as_ref().is_some_and(|all| all.count() != 1) {
            return unsupported_error("amr: more than one channel");
        }
        let spec = AudioSpec::new(band.rate(), mono());
        Ok(AmrDecoder {
            params: params.clone(),
            band,
            speech: Speech::new(band),
            mode: 0,
            buffer: AudioBuffer::new(spec, MOST * band.frame()),
            frames: Vec::new(),
        })
    }
}

impl AudioDecoder for AmrDecoder {
    fn reset(&mut self) {
        (self.speech, self.mode) = (Speech::new(self.band), 0);
        self.buffer.clear();
    }

    fn codec_info(&self) -> &CodecInfo {
        &Self::supported_codecs()[usize::from(self.band == Band::Wide)].info
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.params
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        self.frames.clear();
        if packet.data.is_empty() {
            return decode_error("amr: no frame's header is where one must be");
        }
        let mut data = packet.data;
        while let [header, rest @ ..] = data
            && self.frames.len() < MOST * self.band.frame()
        {
            let Some(size) = self.band.size(*header).filter(|size| *size <= rest.len()) else {
                return decode_error("amr: a damaged frame");
            };
            let (bits, behind) = rest.split_at(size);
            let (kind, good) = (header >> 3 & 15, header & 4 != 0);
            let (mode, frames) = (&mut self.mode, &mut self.frames);
            if self.speech.decode(kind, good, bits, mode, frames).is_none() {
                return decode_error("amr: a damaged frame");
            }
            data = behind;
        }
        self.buffer.render_uninit(Some(self.frames.len()));
        self.buffer.copy_from_slice_interleaved(&&self.frames[..]);
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

impl RegisterableAudioDecoder for AmrDecoder {
    fn try_registry_new(
        params: &AudioCodecParameters,
        _: &AudioDecoderOptions,
    ) -> Result<Box<dyn AudioDecoder>> {
        Ok(Box::new(Self::new(params)?))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        const AMR: &[SupportedAudioCodec] = &[
            SupportedAudioCodec {
                id: CODEC_ID_AMR_NB,
                info: CodecInfo {
                    short_name: "amr_nb",
                    long_name: "AMR, narrow band",
                    profiles: &[],
                },
            },
            SupportedAudioCodec {
                id: CODEC_ID_AMR_WB,
                info: CodecInfo {
                    short_name: "amr_wb",
                    long_name: "AMR, wide band",
                    profiles: &[],
                },
            },
        ];
        AMR
    }
}
