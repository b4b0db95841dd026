//! `/voice/map`: the library in two dimensions.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Ids;
use super::library::grouping;
use crate::App;
use crate::db::Access;
use crate::error::ApiError;
use crate::input::Input;
use crate::openapi::Success;
use crate::routes::options;
use crate::work::{Answer, Caller, Work, text};

/// Most voices of a map; of a larger library the newest are shown.
const MAX_VOICES: usize = 2000;
/// Rounds of the power iteration.
const ROUNDS: usize = 100;

/// What to show.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct MapRequest {
    /// Mean similarity from which groups are one.
    #[schema(minimum = -1, maximum = 1)]
    threshold: Option<f64>,
    /// How ids are given.
    ids: Option<Ids>,
}

/// The newest voices of the library (2000) as points, so that similar ones are near each other, with their groups.
#[utoipa::path(post, path = "/voice/map", tag = "voice", request_body = MapRequest, responses((status = 200, body = Success)))]
pub async fn map(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let input = Input::read(&app, request).await?;
    let options = Value::Object(options(&input.parameters, &["threshold"])).to_string();
    let asked: MapRequest = input.parameters()?;
    grouping(asked.threshold)?;
    let work = Work::new(&app, &caller, app.config.request_timeout)?;
    let session = work.session(Access::Read).await?;
    let sql = format!(
        "SELECT id, name, voiceprint::real[], ai_voice_cluster(voiceprint, $1::text::jsonb) OVER (ORDER BY id)
         FROM (SELECT * FROM {} WHERE voiceprint IS NOT NULL ORDER BY id DESC LIMIT {MAX_VOICES}) newest ORDER BY id",
        work.library()
    );
    let rows = session.query(&sql, &[text(&options)]).await?;
    let warnings = session.commit().await?;
    let voiceprints: Vec<Vec<f32>> = rows.iter().map(|row| normalised(row.get(2))).collect();
    let points = project(&voiceprints);
    let voices: Vec<Value> = rows
        .iter()
        .zip(points)
        .map(|(row, [x, y])| {
            let id: i64 = row.get(0);
            let id = if asked.ids == Some(Ids::String) { json!(id.to_string()) } else { json!(id) };
            json!({"id": id, "name": row.get::<_, String>(1), "x": x, "y": y, "group": row.get::<_, Option<i32>>(3)})
        })
        .collect();
    Ok(Answer::of(voices).warned(warnings).into_response())
}

fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|value| *value /= norm);
    }
    vector
}

/// Coordinates on the two directions of greatest variance (principal component analysis by power iteration). Rows of
/// another length than the first count as zeros.
fn project(rows: &[Vec<f32>]) -> Vec<[f32; 2]> {
    let width = rows.first().map_or(0, Vec::len);
    let mut mean = vec![0.0; width];
    for row in rows {
        mean.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += value / rows.len() as f32);
    }
    let mut centred: Vec<Vec<f32>> = rows
        .iter()
        .map(|row| match row.len() == width {
            true => row
                .iter()
                .zip(&mean)
                .map(|(value, mean)| value - mean)
                .collect(),
            false => vec![0.0; width],
        })
        .collect();
    let mut points = vec![[0.0; 2]; rows.len()];
    for axis in 0..2 {
        // Any start that is no direction of symmetry.
        let mut direction = normalised((0..width).map(|i| 1.0 + (i as f32 * 0.7).sin()).collect());
        for _ in 0..ROUNDS {
            let mut next = vec![0.0; width];
            for row in &centred {
                let along = dot(row, &direction);
                next.iter_mut()
                    .zip(row)
                    .for_each(|(sum, value)| *sum += along * value);
            }
            if dot(&next, &next) <= f32::EPSILON {
                break;
            }
            direction = normalised(next);
        }
        for (row, point) in centred.iter_mut().zip(&mut points) {
            let along = dot(row, &direction);
            point[axis] = along;
            row.iter_mut()
                .zip(&direction)
                .for_each(|(value, direction)| *value -= along * direction);
        }
    }
    points
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_keeps_what_differs_most() {
        // Far apart on one axis, less on another, noise on a third.
        let rows: Vec<Vec<f32>> = (0..8)
            .map(|i| {
                vec![
                    if i < 4 { -1.0 } else { 1.0 },
                    if i % 2 == 0 { -0.3 } else { 0.3 },
                    0.01 * i as f32,
                    0.5,
                ]
            })
            .collect();
        let points = project(&rows);
        for (row, [x, y]) in rows.iter().zip(&points) {
            assert!(
                (x.abs() - 1.0).abs() < 0.05 && (y.abs() - 0.3).abs() < 0.05,
                "{row:?}: {x}, {y}"
            );
            assert_eq!(x.signum() == points[0][0].signum(), row[0] < 0.0);
        }
    }

    #[test]
    fn one_voice_none_and_equal_ones_have_a_place() {
        assert!(project(&[]).is_empty());
        assert_eq!(project(&[vec![0.6, 0.8]]), [[0.0, 0.0]]);
        assert!(
            project(&vec![vec![0.6, 0.8]; 3])
                .iter()
                .flatten()
                .all(|value| value.abs() < 1e-6)
        );
    }
}
