//! Signatures, by `reqsign`: OSS V4 where the region is known, else V1; AWS Signature V4.
//!
//! Only what the protocols ask for is signed, since proxies may change other headers.

use std::time::Duration;

use http::request::Parts;
use reqsign_core::{Context, SignRequest};
use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap};
use reqwest::{Method, Request};
use url::Url;

use super::{Keys, Kind, Store};
use crate::Error;

/// S3 knows the hash of a body in this header.
pub(super) const CONTENT_SHA256: &str = "x-amz-content-sha256";

/// Adds the headers that sign a request to the store; none for an anonymous one.
pub(crate) async fn sign(store: &Store, request: &mut Request) -> Result<(), Error> {
    let Some(keys) = &store.keys else {
        return Ok(());
    };
    let mut headers = HeaderMap::new();
    for name in [CONTENT_TYPE.as_str(), CONTENT_SHA256] {
        if let Some(value) = request.headers().get(name) {
            headers.insert(
                http::HeaderName::from_bytes(name.as_bytes()).map_err(failed)?,
                value.clone(),
            );
        }
    }
    headers.insert(HOST, host(request.url()).parse().map_err(failed)?);
    let mut parts = parts(request.method().clone(), request.url(), headers)?;
    sign_parts(store, keys, &mut parts, None).await?;
    parts.headers.remove(HOST); // the client's to send
    for (name, value) in &mut parts.headers {
        value.set_sensitive(true);
        request.headers_mut().insert(name, value.clone());
    }
    Ok(())
}

/// What the client sends as `Host`.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.into(), |port| format!("{host}:{port}"))
}

/// A URL that carries its signature.
pub(super) fn presign(store: &Store, url: Url, valid: Duration) -> Result<Url, Error> {
    let keys = store.keys.as_ref().ok_or(Error::Anonymous)?;
    let mut parts = parts(Method::GET, &url, HeaderMap::new())?;
    // Nothing in it waits: the signers ask nobody.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(failed)?;
    runtime.block_on(sign_parts(store, keys, &mut parts, Some(valid)))?;
    Url::parse(&parts.uri.to_string()).map_err(failed)
}

fn parts(method: Method, url: &Url, headers: HeaderMap) -> Result<Parts, Error> {
    let request = http::Request::builder().method(method).uri(url.as_str());
    let (mut parts, ()) = request.body(()).map_err(failed)?.into_parts();
    parts.headers = headers;
    Ok(parts)
}

async fn sign_parts(
    store: &Store,
    keys: &Keys,
    parts: &mut Parts,
    valid: Option<Duration>,
) -> Result<(), Error> {
    let context = Context::new();
    let token = keys.token.as_ref().map(|token| token.reveal().to_owned());
    let (id, secret) = (keys.id.reveal().to_owned(), keys.secret.reveal().to_owned());
    let outcome = match store.kind {
        Kind::Oss => {
            use reqsign_aliyun_oss::{Credential, RequestSigner, SigningVersion};
            let signer = RequestSigner::new(&store.bucket);
            let signer = match &store.region {
                Some(region) => signer
                    .with_region(region)
                    .with_signing_version(SigningVersion::V4),
                None => signer,
            };
            let credential = Credential {
                access_key_id: id,
                access_key_secret: secret,
                security_token: token,
                expires_in: None,
            };
            let credential = Some(&credential);
            signer
                .sign_request(&context, parts, credential, valid)
                .await
        }
        Kind::S3 => {
            let region = store.region.as_deref().unwrap_or("us-east-1");
            let signer =
                reqsign_aws_v4::RequestSigner::new("s3", region).with_standard_session_token();
            let credential = reqsign_aws_v4::Credential {
                access_key_id: id,
                secret_access_key: secret,
                session_token: token,
                expires_in: None,
            };
            let credential = Some(&credential);
            signer
                .sign_request(&context, parts, credential, valid)
                .await
        }
    };
    outcome.map_err(failed)
}

/// The signers' errors are about the request's form; what they say is not shown, since it may quote a header.
fn failed<E>(_: E) -> Error {
    Error::Signing
}
