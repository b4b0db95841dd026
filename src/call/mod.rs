//! What every function shares, in the order of a call: its arguments, their options, the recording opened with the
//! caller's privileges, and the result.

pub mod access;
pub mod arguments;
pub mod cleaning;
pub mod clip;
pub mod encoded;
pub mod options;
pub mod privileges;
pub mod recording;
pub mod rows;
