//! Which store an `oss://` or `s3://` source means, and with which keys it is asked: a foreign server with its user
//! mapping, or what the options of the call say.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use source::{Keys, Kind, Place, Secret, Store, Target, Url};

use crate::call::privileges::may_fetch;
use crate::errors::Error;
use crate::foreign::store::{self, STORE};
use crate::foreign::{self, Server, printable};

/// Options about stores, as they are written. `oss_*` are the names in AnalyticDB's API, the others those of user
/// mappings.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Written {
    #[serde(deserialize_with = "secret")]
    oss_ak: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    oss_sk: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    oss_token: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    access_key_id: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    access_key_secret: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    security_token: Option<Secret>,
    endpoint: Option<String>,
    region: Option<String>,
    /// A foreign server's name.
    server: Option<String>,
}

/// Reads a key. What is wrong with it is said without it.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => match printable(&text) {
            Ok(()) => Ok(Some(Secret::new(text))),
            Err(reason) => Err(D::Error::custom(reason)),
        },
        _ => Err(D::Error::custom("expected a text")),
    }
}

/// How stores are asked in one call.
#[derive(Clone, Default)]
pub struct Access {
    keys: Option<Keys>,
    endpoint: Option<Url>,
    region: Option<String>,
    server: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(…)")
    }
}

impl Written {
    /// Judges the options together.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn checked(self) -> Result<Access, Error> {
        let one = |names: [&str; 2], a: Option<Secret>, b: Option<Secret>| match (a, b) {
            (Some(_), Some(_)) => Err(Error::Options(format!(
                "{} and {} are two names of one option",
                names[0], names[1]
            ))),
            (a, b) => Ok(a.or(b)),
        };
        let id = one(["oss_ak", "access_key_id"], self.oss_ak, self.access_key_id)?;
        let secret = one(
            ["oss_sk", "access_key_secret"],
            self.oss_sk,
            self.access_key_secret,
        )?;
        let token = one(
            ["oss_token", "security_token"],
            self.oss_token,
            self.security_token,
        )?;
        let keys = match (id, secret, token) {
            (Some(id), Some(secret), token) => Some(Keys { id, secret, token }),
            (None, None, None) => None,
            _ => {
                let needed = "keys to a store are access_key_id and access_key_secret (oss_ak and oss_sk), and for a temporary key security_token (oss_token)";
                return Err(Error::Options(needed.into()));
            }
        };
        let wrong =
            |option: &str, reason: String| Error::Options(format!("option \"{option}\": {reason}"));
        if let Some(region) = &self.region {
            store::region(region).map_err(|reason| wrong("region", reason))?;
        }
        let endpoint = self.endpoint.as_deref().map(store::url).transpose();
        let endpoint = endpoint.map_err(|reason| wrong("endpoint", reason))?;
        if self.server.is_some() && (endpoint.is_some() || self.region.is_some()) {
            let message = "option \"server\" tells endpoint and region: these go without it";
            return Err(Error::Options(message.into()));
        }
        Ok(Access {
            keys,
            endpoint,
            region: self.region,
            server: self.server,
        })
    }
}

impl Access {
    /// The store of a bucket, for an object or for all whose keys begin so: the server that is named, else the one that
    /// fits and may be used, else what the options describe.
    ///
    /// # Errors
    /// [`foreign::Error`] where no server fits, or more than one; [`Error::Privilege`] where the options describe a store
    /// and the current user may not fetch.
    pub fn store(&self, kind: Kind, bucket: &str, key: &str) -> Result<Arc<Store>, Error> {
        let what = || format!("{}://{bucket}/{key}", kind.name());
        let fits = |options: &foreign::Options| store::serves(options, kind, bucket, key);
        if let Some(name) = &self.server {
            let server = STORE.named(name)?;
            return match fits(&server.options) {
                true => self.served(&server),
                false => Err(foreign::Error::Elsewhere {
                    server: server.name,
                    place: store::shown(&server.options),
                    what: what(),
                }
                .into()),
            };
        }
        let described = self.endpoint.is_some() || self.region.is_some();
        if !described {
            if let Some(server) = STORE.find(&what(), fits)? {
                return self.served(&server);
            }
            if self.keys.is_none() {
                return Err(foreign::Error::NoStore { what: what() }.into());
            }
        }
        may_fetch()?;
        let place = Place {
            kind,
            bucket: bucket.into(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: None,
            trusted: false,
        };
        Ok(Arc::new(Store::new(place, self.keys.clone())?))
    }

    /// The store that results go to: a server's with its own keys, else the one that the call describes.
    ///
    /// # Errors
    /// As [`Access::store`].
    pub fn store_of_results(
        &self,
        kind: Kind,
        bucket: &str,
        prefix: &str,
    ) -> Result<Arc<Store>, Error> {
        let what = format!("{}://{bucket}/{prefix}", kind.name());
        let fits = |options: &foreign::Options| store::serves(options, kind, bucket, prefix);
        match STORE.find(&what, fits)? {
            Some(server) => Access::default().served(&server),
            None => Access {
                server: None,
                ..self.clone()
            }
            .store(kind, bucket, prefix),
        }
    }

    fn served(&self, server: &Server) -> Result<Arc<Store>, Error> {
        let keys = match &self.keys {
            Some(keys) => Some(keys.clone()),
            None => store::keys(server)?,
        };
        Ok(Arc::new(Store::new(store::place(&server.options)?, keys)?))
    }

    /// A URL as something to fetch: signed, if the call has keys.
    ///
    /// # Errors
    /// [`Error::Options`] for keys with a URL that is no store's.
    pub fn sign(&self, url: Url) -> Result<Target, Error> {
        let Some(keys) = &self.keys else {
            return Ok(Target::url(url));
        };
        match Store::of_url(&url, self.region.clone(), keys.clone()) {
            Some(store) => Ok(Target::signed(url, store)),
            None => Err(Error::Options(
                "the keys cannot be used with this URL: it is not one of Alibaba Cloud OSS or Amazon S3. Write \
                 oss://bucket/key or s3://bucket/key, and the option \"endpoint\""
                    .into(),
            )),
        }
    }
}
