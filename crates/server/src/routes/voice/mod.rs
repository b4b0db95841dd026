//! Endpoints on voices and their library.

pub mod enroll;
pub mod library;
pub mod map;
pub mod search;

/// Columns of a voice as JSON, for `json_build_object`: with ids as numbers or as texts.
fn described(strings: bool) -> String {
    let id = if strings { "id::text" } else { "id" };
    format!("'id', {id}, 'name', name, 'location', location, 'created_at', created_at")
}

/// How ids are given: JavaScript's numbers do not hold 64 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ids {
    /// As JSON numbers.
    #[default]
    Number,
    /// As texts.
    String,
}
