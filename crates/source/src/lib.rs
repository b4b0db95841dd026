//! From the text that names a recording to its bytes, inside a server.
//!
//! A database backend runs with the server's privileges and the server's place in the network, and
//! the text may come from anyone who can write a row. So this crate
//!
//! * reads only regular files, and only inside the directories that were allowed ([`open_file`]),
//! * connects only to public addresses, unless an administrator named the host ([`fetch()`]),
//! * bounds bytes, time, redirects and memory, and stops when told to,
//! * never shows a secret: every URL in a message went through [`redact()`].
//!
//! It decides *whether a source is safe*, not *whether the user may use it*: privileges are the
//! caller's business.

mod address;
mod dns;
mod error;
mod fetch;
mod file;
mod hosts;
mod location;
mod post;
mod redact;
mod remote;
mod secret;
mod spool;
mod store;
#[cfg(test)]
mod test_server;
mod tls;
mod wire;

pub use error::Error;
pub use fetch::{FetchRules, fetch};
pub use file::{FileRules, open_file};
pub use hosts::check_allowed_host;
pub use location::{Location, looks_like_one, parse};
pub use post::{Reply, post_json};
pub use redact::redact;
pub use remote::Remote;
pub use secret::Secret;
pub use spool::{Body, temporary_file};
pub use store::{Keys, Kind, Listing, MAX_PRESIGN, Object, Place, Store, put};
/// The URL type of [`Location::Url`].
pub use url::Url;
pub use wire::{Stop, Target};
