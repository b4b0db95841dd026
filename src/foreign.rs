//! Foreign servers and user mappings: where services that need a key are described, and the one place that reads keys.
//!
//! A wrapper of ours has no handler (it has no tables), only a validator. What it takes is a table of options,
//! a [`Wrapper`]; `sql/` declares `CREATE FOREIGN DATA WRAPPER` with the function that hands it to [`Wrapper::validate`].
//!
//! `pg_foreign_server` is readable by everybody, a user mapping by its user and superusers: so keys are options of user
//! mappings only, and leave here as [`Secret`].

use std::ffi::CStr;

use pgrx::prelude::*;
use source::Secret;

use crate::planner::nodes::items;

pub mod llm;
pub mod store;

/// A foreign data wrapper and all the options that it takes.
pub struct Wrapper {
    /// Its name in `pg_foreign_data_wrapper`.
    pub name: &'static str,
    /// Options of `CREATE SERVER`, readable by every user of the database.
    pub server: &'static [ServerOption],
    /// Options of `CREATE USER MAPPING`, all of them secrets.
    pub mapping: &'static [ServerOption],
    /// What must hold between the options of one server, asked when each by itself is right.
    pub together: fn(&Options) -> Result<(), String>,
}

/// An option of a server or a user mapping.
pub struct ServerOption {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// Says what is wrong with a value. An empty value never comes here: it is refused before. What this says about a
    /// user mapping's option must not repeat it.
    pub check: fn(&str) -> Result<(), String>,
}

/// Names and values of a server's options.
pub struct Options(Vec<(String, String)>);

impl Options {
    /// The value of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A server of one of our wrappers that the current user may use.
pub struct Server {
    oid: pg_sys::Oid,
    /// Its name.
    pub name: String,
    /// Its options.
    pub options: Options,
}

/// The options of a user mapping.
pub struct Mapping(Vec<(String, Secret)>);

impl Mapping {
    /// An option's value.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }
}

/// What is wrong with a server, a user mapping or their options.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option that there is none of.
    #[error("invalid option \"{name}\" for {object} of {wrapper}")]
    UnknownOption {
        name: String,
        object: &'static str,
        wrapper: &'static str,
        hint: String,
    },
    /// An option whose value is not right.
    #[error("option \"{name}\": {reason}")]
    WrongValue { name: String, reason: String },
    /// Options that do not go together.
    #[error("{0}")]
    Together(String),
    /// An option that must be there.
    #[error("{object} of {wrapper} needs option \"{name}\"")]
    MissingOption {
        name: &'static str,
        object: &'static str,
        wrapper: &'static str,
    },
    /// A foreign table of a wrapper that has none.
    #[error("{0} has no foreign tables: its servers are used by functions")]
    NoTables(&'static str),
    /// No server of that name in this wrapper.
    #[error("server \"{name}\" of {wrapper} does not exist")]
    UnknownServer { name: String, wrapper: &'static str },
    /// A server that the current user may not use.
    #[error("permission denied for foreign server {0}")]
    Denied(String),
    /// More than one server fits.
    #[error("{what} is served by {}", quoted(.servers))]
    Ambiguous { what: String, servers: Vec<String> },
    /// A server that was named and is of another place.
    #[error("server \"{server}\" is of {place}, not of {what}")]
    Elsewhere {
        server: String,
        place: String,
        what: String,
    },
    /// A store that nothing describes.
    #[error("no server of ai_audio_store that you may use is of {what}")]
    NoStore { what: String },
    /// A user mapping with a part of a key.
    #[error(
        "the user mapping of server \"{0}\" needs both access_key_id and access_key_secret, or neither"
    )]
    HalfKey(String),
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(" and ")
}

impl Wrapper {
    /// Judges the options that a command leaves an object of this wrapper with, each written `name=value`.
    ///
    /// # Errors
    /// [`Error`], which names the option and never a user mapping's value.
    pub fn validate<'a>(
        &self,
        options: impl Iterator<Item = &'a str>,
        catalog: pg_sys::Oid,
    ) -> Result<(), Error> {
        let given: Vec<(String, String)> = options
            .map(|option| option.split_once('=').unwrap_or((option, "")))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let (object, known, elsewhere): (_, _, (&str, &[ServerOption])) = match catalog {
            pg_sys::ForeignServerRelationId => {
                ("a server", self.server, ("a user mapping", self.mapping))
            }
            pg_sys::UserMappingRelationId => {
                ("a user mapping", self.mapping, ("a server", self.server))
            }
            pg_sys::ForeignTableRelationId => return Err(Error::NoTables(self.name)),
            _ => ("the wrapper", &[], ("a server", self.server)),
        };
        for (name, value) in &given {
            let Some(option) = known.iter().find(|option| option.name == name) else {
                return Err(Error::UnknownOption {
                    name: name.clone(),
                    object,
                    wrapper: self.name,
                    hint: what_was_meant(name, known, elsewhere),
                });
            };
            let outcome = match value.is_empty() {
                true => Err("it is empty".to_string()),
                false => (option.check)(value),
            };
            outcome.map_err(|reason| Error::WrongValue {
                name: name.clone(),
                reason,
            })?;
        }
        let missing = |option: &&ServerOption| {
            option.required && given.iter().all(|(name, _)| name != option.name)
        };
        if let Some(option) = known.iter().find(missing) {
            return Err(Error::MissingOption {
                name: option.name,
                object,
                wrapper: self.name,
            });
        }
        match catalog {
            pg_sys::ForeignServerRelationId => {
                (self.together)(&Options(given)).map_err(Error::Together)
            }
            _ => Ok(()),
        }
    }

    /// The server of a name.
    ///
    /// # Errors
    /// [`Error::UnknownServer`]; [`Error::Denied`] without USAGE on it.
    pub fn named(&self, name: &str) -> Result<Server, crate::errors::Error> {
        let found = self.all()?.into_iter().find(|server| server.name == name);
        let server = found.ok_or_else(|| Error::UnknownServer {
            name: name.into(),
            wrapper: self.name,
        })?;
        match server.is_usable() {
            true => Ok(server),
            false => Err(Error::Denied(server.name).into()),
        }
    }

    /// The one server that is `wanted`, of those that the current user has USAGE on; `None` if there is none. `what`
    /// names in an error what was looked for.
    ///
    /// # Errors
    /// [`Error::Ambiguous`].
    pub fn find(
        &self,
        what: &str,
        wanted: impl Fn(&Options) -> bool,
    ) -> Result<Option<Server>, crate::errors::Error> {
        let all = self.all()?.into_iter();
        let mut found: Vec<Server> = all
            .filter(|server| wanted(&server.options) && server.is_usable())
            .collect();
        if found.len() > 1 {
            return Err(Error::Ambiguous {
                what: what.into(),
                servers: found.into_iter().map(|server| server.name).collect(),
            }
            .into());
        }
        Ok(found.pop())
    }

    /// The servers of this wrapper, in the order of their names.
    fn all(&self) -> Result<Vec<Server>, crate::errors::Error> {
        let query = "SELECT s.oid FROM pg_catalog.pg_foreign_server s
             JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid OPERATOR(pg_catalog.=) s.srvfdw
             WHERE w.fdwname OPERATOR(pg_catalog.=) $1::pg_catalog.name ORDER BY s.srvname";
        let oids: Vec<pg_sys::Oid> = Spi::connect(|client| {
            let rows = client.select(query, None, &[self.name.into()])?;
            let oids = rows.map(|row| row.get::<pg_sys::Oid>(1));
            oids.filter_map(Result::transpose).collect::<Result<_, _>>()
        })?;
        // SAFETY: the OIDs of servers that this transaction sees.
        Ok(oids
            .into_iter()
            .map(|oid| unsafe { Server::read(oid) })
            .collect())
    }
}

impl Server {
    /// # Safety
    /// `oid` is that of a server.
    unsafe fn read(oid: pg_sys::Oid) -> Self {
        // SAFETY: by contract; an unknown OID is an error of Postgres.
        unsafe {
            let server = pg_sys::GetForeignServer(oid);
            Server {
                oid,
                name: owned((*server).servername),
                options: Options(definitions((*server).options)),
            }
        }
    }

    fn is_usable(&self) -> bool {
        // SAFETY: catalog look-ups in a transaction.
        unsafe {
            let (user, usage) = (
                pg_sys::GetUserId(),
                pg_sys::ACL_USAGE as pg_sys::AclMode, // wider since Postgres 16
            );
            #[cfg(any(feature = "pg13", feature = "pg14", feature = "pg15"))]
            let result = pg_sys::pg_foreign_server_aclcheck(self.oid, user, usage);
            #[cfg(not(any(feature = "pg13", feature = "pg14", feature = "pg15")))]
            let result =
                pg_sys::object_aclcheck(pg_sys::ForeignServerRelationId, self.oid, user, usage);
            result == pg_sys::AclResult::ACLCHECK_OK
        }
    }

    /// The user mapping of the current user, else that of PUBLIC; without any, an empty one.
    pub fn mapping(&self) -> Mapping {
        // SAFETY: catalog look-ups in a transaction.
        unsafe {
            let own = mapping(pg_sys::GetUserId(), self.oid);
            let options = own.or_else(|| mapping(pg_sys::InvalidOid, self.oid));
            let secret = |(name, value)| (name, Secret::new(value));
            Mapping(
                options
                    .unwrap_or_default()
                    .into_iter()
                    .map(secret)
                    .collect(),
            )
        }
    }
}

/// The options of one user mapping, `None` if it does not exist.
///
/// # Safety
/// In a transaction.
unsafe fn mapping(user: pg_sys::Oid, server: pg_sys::Oid) -> Option<Vec<(String, String)>> {
    // SAFETY: the tuple is released after its options were copied out.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::USERMAPPINGUSERSERVER as i32;
        let (user, server) = (pg_sys::Datum::from(user), pg_sys::Datum::from(server));
        let tuple = pg_sys::SearchSysCache2(cache, user, server);
        if tuple.is_null() {
            return None;
        }
        let mut null = false;
        let attribute = pg_sys::Anum_pg_user_mapping_umoptions as pg_sys::AttrNumber;
        let options = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut null);
        let options = match null {
            true => Vec::new(),
            false => definitions(pg_sys::untransformRelOptions(options)),
        };
        pg_sys::ReleaseSysCache(tuple);
        Some(options)
    }
}

/// # Safety
/// `list` is NIL or a live list of `DefElem` with strings.
unsafe fn definitions(list: *mut pg_sys::List) -> Vec<(String, String)> {
    // SAFETY: by contract.
    unsafe {
        items::<pg_sys::DefElem>(list)
            .map(|element| {
                (
                    owned((*element).defname),
                    owned(pg_sys::defGetString(element)),
                )
            })
            .collect()
    }
}

/// # Safety
/// `text` is a live NUL-terminated string.
unsafe fn owned(text: *const std::ffi::c_char) -> String {
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// What the writer of a wrong option may have meant: an option of the other kind of object, or one of a similar name.
fn what_was_meant(
    name: &str,
    known: &[ServerOption],
    (other, theirs): (&str, &[ServerOption]),
) -> String {
    if theirs.iter().any(|option| option.name == name) {
        return format!("\"{name}\" is an option of {other}.");
    }
    let near = |option: &&ServerOption| {
        let likeness = strsim::normalized_damerau_levenshtein(&name.to_lowercase(), option.name);
        (likeness >= 0.6).then_some((likeness, option.name))
    };
    let nearest = known.iter().filter_map(|option| near(&option));
    let meant = match nearest.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, right)) => format!("Perhaps you meant the option \"{right}\". "),
        None => String::new(),
    };
    let names: Vec<&str> = known.iter().map(|option| option.name).collect();
    match names.is_empty() {
        true => "There are no options here.".into(),
        false => format!("{meant}Valid options here: {}.", names.join(", ")),
    }
}

/// An option that must be there.
pub const fn required(name: &'static str, check: fn(&str) -> Result<(), String>) -> ServerOption {
    ServerOption {
        name,
        required: true,
        check,
    }
}

/// An option that may be left out.
pub const fn optional(name: &'static str, check: fn(&str) -> Result<(), String>) -> ServerOption {
    ServerOption {
        name,
        required: false,
        check,
    }
}

/// A URL of a service, without user, query and fragment; nothing for any other text.
pub fn service_url(value: &str) -> Option<source::Url> {
    let url = source::Url::parse(value).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    plain.then_some(url)
}

/// A check for keys, which go into HTTP headers. What is wrong is said without the value.
pub fn printable(value: &str) -> Result<(), String> {
    match value.bytes().all(|b| b.is_ascii_graphic()) && value.len() <= 8192 {
        true => Ok(()),
        false => Err("it has blanks, line ends or letters that no key has".into()),
    }
}

/// A check for options that may have any value.
pub fn any(_: &str) -> Result<(), String> {
    Ok(())
}

/// A check for `true` and `false`.
pub fn boolean(value: &str) -> Result<(), String> {
    match as_bool(value) {
        Some(_) => Ok(()),
        None => Err(format!("expected 'true' or 'false', found '{value}'")),
    }
}

/// What Postgres takes for a boolean in options.
pub fn as_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}
