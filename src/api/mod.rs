//! The SQL functions, one file per family.

pub mod call;
pub mod embed;
pub mod info;
pub mod input;
pub mod models;
pub mod options;
pub mod recognition;
pub mod similarity;
pub mod transcribe;
