//! Numbers for Prometheus. Labels are routes and statuses: nothing of what clients send.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const LATENCY: &str = "ai_audio_request_seconds";
const BUCKETS: [f64; 12] = [
    0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0,
];

/// Begins to count; once per process.
///
/// # Errors
/// A second time.
pub fn install() -> Result<PrometheusHandle, String> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(LATENCY.into()), &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| error.to_string())?;
    metrics::describe_counter!("ai_audio_requests_total", "Requests, by route and status");
    metrics::describe_counter!(
        "ai_audio_callbacks_total",
        "Calls of clients whose jobs had ended, by outcome"
    );
    metrics::describe_histogram!(LATENCY, "Time from the request's headers to the answer's");
    metrics::describe_counter!("ai_audio_audio_seconds_total", "Seconds of audio worked on");
    metrics::describe_counter!(
        "ai_audio_refused_total",
        "Requests answered with 429 or 503, by reason"
    );
    metrics::describe_gauge!(
        "ai_audio_requests_in_progress",
        "Requests that work or wait for a connection"
    );
    metrics::describe_gauge!("ai_audio_queue", "Requests that wait for a connection");
    metrics::describe_gauge!("ai_audio_connections", "Client connections");
    metrics::describe_gauge!("ai_audio_upload_bytes", "Memory that bodies take");
    metrics::describe_gauge!("ai_audio_jobs", "Jobs that wait or run");
    metrics::describe_gauge!(
        "ai_audio_database_connections",
        "Working database connections, by state"
    );
    Ok(handle)
}

/// A request was answered.
pub fn request(route: &str, status: u16, time: Duration) {
    counter!("ai_audio_requests_total", "route" => route.to_string(), "status" => status.to_string()).increment(1);
    histogram!(LATENCY, "route" => route.to_string()).record(time.as_secs_f64());
}

/// Audio was worked on.
pub fn audio_seconds(seconds: f64) {
    if seconds > 0.0 {
        // Counters hold integers: milliseconds would be another unit, so the rest is carried on.
        static REST: std::sync::Mutex<f64> = std::sync::Mutex::new(0.0);
        let mut rest = REST
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *rest += seconds;
        counter!("ai_audio_audio_seconds_total").increment(*rest as u64);
        *rest = rest.fract();
    }
}

/// A request was turned away.
pub fn refused(reason: &'static str) {
    counter!("ai_audio_refused_total", "reason" => reason).increment(1);
}

/// A job's end was told, or could not be.
pub fn callback(outcome: &'static str) {
    counter!("ai_audio_callbacks_total", "outcome" => outcome).increment(1);
}

/// A gauge that moves up while the value lives.
pub struct Counted(&'static str, f64);

impl Counted {
    /// Adds `amount`.
    pub fn new(name: &'static str, amount: f64) -> Self {
        gauge!(name).increment(amount);
        Self(name, amount)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(self.0).decrement(self.1);
    }
}

/// The pool's state, read when it is asked for.
pub fn pool(size: usize, idle: usize, waiting: usize) {
    gauge!("ai_audio_database_connections", "state" => "busy")
        .set(size.saturating_sub(idle) as f64);
    gauge!("ai_audio_database_connections", "state" => "idle").set(idle as f64);
    gauge!("ai_audio_queue").set(waiting as f64);
}
