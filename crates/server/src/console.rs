//! The console: pages that are part of the binary. They are fetched from here alone, and talk to here alone.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::App;

/// Scripts, styles and requests from this service only; nothing inline; no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! pages {
    ($($path:literal: $file:literal, $kind:literal;)*) => {
        /// Its pages.
        pub fn router() -> Router<Arc<App>> {
            Router::new()$(.route($path, get(async || page(include_bytes!(concat!("console/", $file)), $kind))))*
        }
    };
}

pages! {
    "/": "index.html", "text/html; charset=utf-8";
    "/console/style.css": "style.css", "text/css; charset=utf-8";
    "/console/icon.svg": "icon.svg", "image/svg+xml";
    "/console/main.js": "main.js", "text/javascript; charset=utf-8";
    "/console/api.js": "api.js", "text/javascript; charset=utf-8";
    "/console/audio.js": "audio.js", "text/javascript; charset=utf-8";
    "/console/dom.js": "dom.js", "text/javascript; charset=utf-8";
    "/console/map.js": "map.js", "text/javascript; charset=utf-8";
    "/console/reference.js": "reference.js", "text/javascript; charset=utf-8";
    "/console/transcribe.js": "transcribe.js", "text/javascript; charset=utf-8";
    "/console/voices.js": "voices.js", "text/javascript; charset=utf-8";
}

fn page(content: &'static [u8], kind: &'static str) -> Response {
    let headers: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (
            HeaderName::from_static("permissions-policy"),
            "microphone=(self), camera=(), geolocation=()",
        ),
    ];
    let mut response = content.into_response();
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
