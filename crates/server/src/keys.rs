//! Keys: `aia_ID_SECRET`. The table holds the secret's SHA-256; a key acts as its database role.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_postgres::types::Type;

use crate::db::Db;
use crate::error::ApiError;

const PREFIX: &str = "aia_";
const ID_LENGTH: usize = 11;

/// A key that was let in.
#[derive(Clone)]
pub struct Key {
    /// Its public part.
    pub id: String,
    /// The database role it acts as.
    pub role: String,
    /// Requests per second, where the key has its own.
    pub rate: Option<f64>,
    /// Requests at a time, where the key has its own.
    pub concurrency: Option<usize>,
    /// SHA-256 of its secret part in hexadecimal, which both sides know: what callbacks are signed with.
    pub secret_hash: String,
}

/// `length` random bytes.
pub fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    bytes
}

/// An unguessable text: 256 bits.
pub fn token() -> String {
    URL_SAFE_NO_PAD.encode(random(32))
}

/// SHA-256, what is stored instead of a secret.
pub fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// A new key: its id, its hash, and the whole of it, which is shown once.
pub fn new_key() -> (String, Vec<u8>, String) {
    // 8 bytes make 11 letters; what separates the parts is no letter of an id.
    let id: String = random(ID_LENGTH)
        .iter()
        .map(|byte| char::from(b"abcdefghijkmnpqrstuvwxyz23456789"[usize::from(byte % 32)]))
        .collect();
    let secret = token();
    let (hash, whole) = (digest(&secret), format!("{PREFIX}{id}_{secret}"));
    (id, hash, whole)
}

/// The id and the secret in a key.
fn parts(key: &str) -> Option<(&str, &str)> {
    let (id, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    let plausible = id.len() == ID_LENGTH
        && secret.len() == 43
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plausible.then_some((id, secret))
}

/// Looks a key up; asked for each request, so that revocation is immediate.
///
/// # Errors
/// 401 for a key that is not, or no longer; 503 without a database.
pub async fn authenticate(db: &Db, key: &str) -> Result<Key, ApiError> {
    let wrong = || {
        ApiError::new(
            axum::http::StatusCode::UNAUTHORIZED,
            "this API key is unknown, expired or revoked",
        )
    };
    let (id, secret) = parts(key).ok_or_else(wrong)?;
    let sql = "SELECT hash, role, rate, concurrency FROM ai_audio_server.keys
               WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())";
    let connection = db.control().await?;
    let rows = connection.query_typed(sql, &[(&id, Type::TEXT)]).await?;
    let hash: Vec<u8> = rows.first().map_or_else(|| vec![0; 32], |row| row.get(0));
    let same = bool::from(hash.ct_eq(&digest(secret)));
    match rows.first() {
        Some(row) if same => Ok(Key {
            id: id.into(),
            role: row.get(1),
            rate: row.get(2),
            concurrency: row
                .get::<_, Option<i32>>(3)
                .and_then(|n| usize::try_from(n).ok()),
            secret_hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_understood_and_not_stored() {
        let (id, hash, whole) = new_key();
        let (found, secret) = parts(&whole).expect("a key");
        assert_eq!(found, id);
        assert_eq!(digest(secret), hash);
        assert!(!whole.contains(&URL_SAFE_NO_PAD.encode(&hash)));
        assert_ne!(whole, new_key().2);
    }

    #[test]
    fn nonsense_is_no_key() {
        for text in [
            "",
            "aia_",
            "aia_abc_def",
            "Bearer x",
            "aia_abcdefghijk_",
            "aia_abcdefghij\0_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(parts(text).is_none(), "{text:?}");
        }
    }
}
