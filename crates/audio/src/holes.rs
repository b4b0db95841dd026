//! Holes between packets: how long they were, and what tells that there is one.

use std::sync::atomic::{AtomicBool, AtomicU64};

use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

/// What a demuxer finds out that no packet can tell.
#[derive(Default)]
pub(crate) struct Notes {
    /// Bytes behind the last packet that are neither tags nor a packet.
    pub(crate) behind: AtomicU64,
    /// Ticks of the last packet that the decoder makes silence of, since it needs what is in a hole.
    pub(crate) quiet: AtomicU64,
    /// Ticks that an encoder's tag promised and that did not come.
    pub(crate) missing: AtomicU64,
    /// Whether the file ends inside an element.
    pub(crate) truncated: AtomicBool,
}

/// A hole is believed to be as long as times say up to so many times what its bytes would last.
const MOST_TIMES: u64 = 10;
/// And up to this, in seconds, or what all bytes of the file would last, in any case: bytes may have been taken out.
const ALWAYS: u64 = 60;

/// How many bytes a tick takes, as far as packets have shown.
#[derive(Clone, Copy, Default)]
pub(crate) struct Holes {
    ticks: u64,
    bytes: u64,
    all: u64,
}

impl Holes {
    /// In a file of so many bytes.
    pub(crate) fn within(all: u64) -> Self {
        Holes {
            all,
            ..Holes::default()
        }
    }

    /// Before the first packet of another stream of the same file.
    pub(crate) fn anew(&self) -> Self {
        Self::within(self.all)
    }

    /// A good packet.
    pub(crate) fn good(&mut self, ticks: u64, bytes: u64) {
        // The later packets weigh more, and nothing overflows.
        if self.ticks > 1 << 40 || self.bytes > 1 << 40 {
            (self.ticks, self.bytes) = (self.ticks / 2, self.bytes / 2);
        }
        (self.ticks, self.bytes) = (
            self.ticks.saturating_add(ticks),
            self.bytes.saturating_add(bytes),
        );
    }

    /// What so many bytes would last.
    pub(crate) fn estimate(&self, bytes: u64) -> u64 {
        let ticks = u128::from(bytes) * u128::from(self.ticks) / u128::from(self.bytes.max(1));
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// The length of a hole of so many bytes for which times tell `gap` ticks, at so many ticks a second. A time that is far beyond
    /// what the bytes may have held is not believed: it may be forged, or part of the damage.
    pub(crate) fn length(&self, gap: u64, bytes: u64, per_second: u64) -> u64 {
        let estimate = self.estimate(bytes);
        let most = estimate
            .saturating_mul(MOST_TIMES)
            .max(ALWAYS.saturating_mul(per_second))
            .max(self.estimate(self.all));
        if gap <= most { gap } else { estimate.min(most) }
    }
}

/// What stands for a hole: a packet without bytes.
pub(crate) fn hole(track: u32, time: i64, ticks: u64) -> Packet {
    Packet::new(
        track,
        Timestamp::new(time),
        Duration::new(ticks),
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_time_makes_no_hours_of_silence() {
        let mut holes = Holes::default();
        holes.good(48_000, 2_000);
        let hour = 3_600 * 48_000;
        assert_eq!(
            holes.length(hour, 4_000, 48_000),
            2 * 48_000,
            "by its bytes"
        );
        assert_eq!(
            holes.length(hour, 1_000_000, 48_000),
            hour,
            "its bytes may have held it"
        );
        assert_eq!(
            holes.length(30 * 48_000, 0, 48_000),
            30 * 48_000,
            "taken out"
        );
        assert_eq!(holes.length(u64::MAX, u64::MAX, 48_000), u64::MAX);
        let mut holes = Holes::within(5 * 3_600 * 2_000);
        holes.good(48_000, 2_000);
        assert_eq!(
            holes.length(hour, 0, 48_000),
            hour,
            "taken out of a long one"
        );
    }
}
