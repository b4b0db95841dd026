//! HE-AAC, of which the core is played.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;

/// What HE-AAC extends: an AAC-LC stream that can be played by itself, up to half the rate. ISO 14496-3, 1.6.2.1.
pub(crate) fn core(params: &AudioCodecParameters) -> Option<AudioCodecParameters> {
    const LC: u64 = 2;
    let data = params
        .extra_data
        .as_deref()
        .filter(|_| params.codec == CODEC_ID_AAC)?;
    let mut bits = data
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u64::from(byte >> bit & 1)));
    let mut number = |count: usize| -> Option<u64> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | bits.next()?))
    };
    let kind = number(5)?;
    let rate = number(4)?;
    // Rates written out are left to the decoder.
    if !matches!(kind, 5 | 29) || rate == 15 {
        return None;
    }
    let channels = number(4)?;
    if number(4)? == 15 {
        number(24)?;
    }
    if number(5)? != LC {
        return None;
    }
    let mut core = params.clone();
    core.extra_data = Some(
        ((LC << 11 | rate << 7 | channels << 3) as u16)
            .to_be_bytes()
            .into(),
    );
    Some(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An AudioSpecificConfig of (bits, value) pairs.
    fn config(fields: &[(u32, u64)]) -> AudioCodecParameters {
        let all = fields
            .iter()
            .fold(0, |all, (bits, value)| all << bits | value);
        let bits: u32 = fields.iter().map(|(bits, _)| bits).sum();
        let bytes = (all << (64 - bits)).to_be_bytes();
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(CODEC_ID_AAC)
            .with_extra_data(bytes[..bits.div_ceil(8) as usize].into());
        params
    }

    #[test]
    fn he_aac_that_says_so_has_its_core_played() {
        let lc = config(&[(5, 2), (4, 6), (4, 1), (3, 0)]).extra_data;
        for kind in [5, 29] {
            let said = config(&[(5, kind), (4, 6), (4, 1), (4, 3), (5, 2), (3, 0)]);
            assert_eq!(core(&said).unwrap().extra_data, lc, "AOT {kind}");
            // 48 kHz written out.
            let written = config(&[(5, kind), (4, 6), (4, 1), (4, 15), (24, 48_000), (5, 2)]);
            assert_eq!(core(&written).unwrap().extra_data, lc, "AOT {kind}");
            let other = config(&[(5, kind), (4, 6), (4, 1), (4, 3), (5, 22)]);
            assert!(core(&other).is_none(), "of a core that is not LC");
        }
        let plain = config(&[(5, 2), (4, 6), (4, 1), (3, 0)]);
        assert!(core(&plain).is_none(), "it needs no other");
        let short = config(&[(5, 5), (4, 6), (4, 1)]);
        assert!(core(&short).is_none(), "cut short");
    }
}
