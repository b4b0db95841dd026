//! What is answered where.

mod asr;
mod audio;
mod service;
mod voice;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Map, Value, json};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi;

use crate::App;
use crate::error::ApiError;
use crate::keys;
use crate::work::Caller;
use crate::{console, jobs, results};

/// The endpoints and what OpenAPI says of them.
#[derive(OpenApi)]
#[openapi(paths(
    audio::embedding,
    audio::quality,
    audio::diarize,
    audio::enhance,
    audio::inspect,
    voice::enroll::enroll,
    voice::library::query_get,
    voice::library::query_post,
    voice::library::delete,
    voice::library::delete_post,
    voice::search::search,
    voice::search::verify,
    voice::library::cluster,
    voice::map::map,
    asr::transcribe,
    jobs::show,
    jobs::cancel,
    results::fetch,
    service::healthz,
    service::readyz,
    service::metrics,
    service::openapi
))]
pub struct Described;

/// The service.
pub fn router(app: &Arc<App>) -> Router {
    let keyed = Router::new()
        .route("/audio/embedding", post(audio::embedding))
        .route("/audio/quality", post(audio::quality))
        .route("/audio/diarize", post(audio::diarize))
        .route("/audio/enhance", post(audio::enhance))
        .route("/audio/inspect", post(audio::inspect))
        .route("/voice/enroll", post(voice::enroll::enroll))
        .route(
            "/voice/query",
            get(voice::library::query_get).post(voice::library::query_post),
        )
        .route(
            "/voice/delete",
            axum::routing::delete(voice::library::delete).post(voice::library::delete_post),
        )
        .route("/voice/search", post(voice::search::search))
        .route("/voice/verify", post(voice::search::verify))
        .route("/voice/cluster", post(voice::library::cluster))
        .route("/voice/map", post(voice::map::map))
        .route("/bailian/funasr/asr", post(asr::transcribe))
        .route("/jobs/{id}", get(jobs::show).delete(jobs::cancel))
        .layer(from_fn_with_state(app.clone(), authenticate));
    let open = Router::new()
        .route("/results/{token}", get(results::fetch))
        .route("/healthz", get(service::healthz))
        .route("/readyz", get(service::readyz))
        .route("/metrics", get(service::metrics))
        .route("/openapi.json", get(service::openapi));
    let routes = keyed
        .merge(open)
        .merge(console::router())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method);
    let with = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let mut service = routes
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(observe))
        .layer(with(header::CACHE_CONTROL, "no-store"))
        .layer(with(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(with(header::REFERRER_POLICY, "no-referrer"))
        .layer(with(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ));
    if !app.config.cors_origins.is_empty() {
        let origins = app
            .config
            .cors_origins
            .iter()
            .filter_map(|origin| origin.parse().ok());
        service = service.layer(
            CorsLayer::new()
                .allow_origin(AllowOrigin::list(origins))
                .allow_methods([Method::GET, Method::POST, Method::DELETE])
                .allow_headers([
                    header::AUTHORIZATION,
                    header::CONTENT_TYPE,
                    HeaderName::from_static("idempotency-key"),
                ]),
        );
    }
    service.with_state(app.clone())
}

async fn unknown() -> ApiError {
    ApiError::not_found("there is nothing here; /openapi.json lists the endpoints")
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this endpoint has another method; /openapi.json lists them",
    )
}

/// Counts and logs a request: method, route, status and time.
async fn observe(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let matched = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_string());
    let route = matched.unwrap_or("none".into());
    let response = next.run(request).await;
    let (status, time) = (response.status().as_u16(), began.elapsed());
    crate::metrics::request(&route, status, time);
    tracing::info!(
        method = method.as_str(),
        route,
        status,
        ms = time.as_millis() as u64,
        "request"
    );
    response
}

/// Lets a request with a valid key in, within the key's limits; the body is not read before.
async fn authenticate(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let headers = request.headers();
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
    let missing = || {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "an API key is needed: Authorization: Bearer {api-key}",
        )
    };
    let key = keys::authenticate(&app.db, bearer.ok_or_else(missing)?).await?;
    let place = app.limits.admit(&key)?;
    let caller = Caller {
        base_url: base_url(&app, headers.get(header::HOST)),
        key,
        place: Some(place),
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn base_url(app: &App, host: Option<&HeaderValue>) -> String {
    if let Some(url) = &app.config.public_url {
        return url.clone();
    }
    let scheme = if app.config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let host = host
        .and_then(|host| host.to_str().ok())
        .filter(|host| host.parse::<axum::http::uri::Authority>().is_ok());
    match host {
        Some(host) => format!("{scheme}://{host}"),
        None => format!("{scheme}://{}", app.config.listen),
    }
}

/// Parameters that are options of the SQL functions on a recording, where they were given. Times are whole milliseconds.
fn options(parameters: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let rounded = |name: &str, value: &Value| match value.as_f64() {
        Some(ms) if name.ends_with("_time") => json!(ms.round() as i64),
        _ => value.clone(),
    };
    let given = names.iter().filter_map(|name| {
        Some((
            name.to_string(),
            parameters.get(*name).filter(|value| !value.is_null())?,
        ))
    });
    given
        .map(|(name, value)| (name.clone(), rounded(&name, value)))
        .collect()
}

/// Keys to an object store.
pub use voice::library::Id;

const STORE: [&str; 3] = ["oss_ak", "oss_sk", "oss_token"];
/// Keys, and the part of the recording.
const PART: [&str; 5] = ["oss_ak", "oss_sk", "oss_token", "start_time", "end_time"];
