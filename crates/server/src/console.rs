//! The console: pages in the binary.

use std::sync::Arc;

use axum::Router;

use crate::App;

/// Its pages.
pub fn router() -> Router<Arc<App>> {
    Router::new()
}
