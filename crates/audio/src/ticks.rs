//! Between ticks of a time base and counts per second, without overflow.

use symphonia::core::units::TimeBase;

/// Ticks of a time base in units of `1 / per_second`, rounded.
pub(crate) fn rescale(ticks: u64, time_base: TimeBase, per_second: u32) -> u64 {
    let numer = u128::from(ticks) * u128::from(per_second) * u128::from(time_base.numer.get());
    let denom = u128::from(time_base.denom.get());
    u64::try_from((numer + denom / 2) / denom).unwrap_or(u64::MAX)
}

/// Counts of `1 / per_second` in ticks of a time base, rounded down.
pub(crate) fn rescale_back(count: u64, time_base: TimeBase, per_second: u32) -> u64 {
    let numer = u128::from(count) * u128::from(time_base.denom.get());
    let denom = u128::from(time_base.numer.get()) * u128::from(per_second);
    u64::try_from(numer / denom.max(1)).unwrap_or(u64::MAX)
}
