//! What the current user may have the server do.

use std::ffi::CStr;

use pgrx::prelude::*;

use crate::errors::Error;

// Postgres 14 gave them their names.
#[cfg(feature = "pg13")]
pub use pg_sys::{
    DEFAULT_ROLE_READ_ALL_STATS as READ_ALL_STATS,
    DEFAULT_ROLE_READ_SERVER_FILES as READ_SERVER_FILES,
};
#[cfg(not(feature = "pg13"))]
pub use pg_sys::{
    ROLE_PG_READ_ALL_STATS as READ_ALL_STATS, ROLE_PG_READ_SERVER_FILES as READ_SERVER_FILES,
};

/// The role whose members may fetch URLs, made by the extension's script.
const FETCH_ROLE: &CStr = c"ai_audio_fetch_url";

/// The role whose members may write to object stores, made by the extension's script.
const WRITE_ROLE: &CStr = c"ai_audio_write_url";

/// Whether server files may be read.
///
/// # Errors
/// [`Error::Privilege`].
pub fn may_read_files() -> Result<(), Error> {
    // SAFETY: catalog look-ups in a transaction.
    let allowed = unsafe {
        pg_sys::has_privs_of_role(pg_sys::GetUserId(), pg_sys::Oid::from(READ_SERVER_FILES))
    };
    allowed.then_some(()).ok_or_else(|| Error::Privilege {
        message: "permission denied to read server files".into(),
        hint: "Reading a file of the server needs superuser or membership in pg_read_server_files. Recordings given as \
               bytea need no privilege.",
    })
}

/// Whether URLs may be fetched.
///
/// # Errors
/// [`Error::Privilege`].
pub fn may_fetch() -> Result<(), Error> {
    is_member(FETCH_ROLE)
        .then_some(())
        .ok_or_else(|| Error::Privilege {
            message: "permission denied to fetch URLs".into(),
            hint: "Fetching a URL needs superuser or membership in ai_audio_fetch_url.",
        })
}

/// Whether object stores may be written to.
///
/// # Errors
/// [`Error::Privilege`].
pub fn may_write() -> Result<(), Error> {
    is_member(WRITE_ROLE)
        .then_some(())
        .ok_or_else(|| Error::Privilege {
            message: "permission denied to write to object stores".into(),
            hint: "Writing to a store needs superuser or membership in ai_audio_write_url.",
        })
}

fn is_member(role: &CStr) -> bool {
    // SAFETY: catalog look-ups in a transaction; a missing role gives InvalidOid.
    unsafe {
        let user = pg_sys::GetUserId();
        let role = pg_sys::get_role_oid(role.as_ptr(), true);
        pg_sys::superuser_arg(user)
            || (role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(user, role))
    }
}
