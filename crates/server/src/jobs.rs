//! Work that the client does not wait for: 202 with an id, then `/jobs/{id}`.
//!
//! A job's request stays in this process, since it may hold secrets; its state is in the table, so that any instance can
//! tell it. A job whose process is gone is told as failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, extract::Path, extract::State};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;

use crate::App;
use crate::callbacks::{Callback, MAX_ANSWER};
use crate::error::ApiError;
use crate::keys;
use crate::metrics::Counted;
use crate::work::{Answer, Caller, Work};

/// How often a running job says that it is alive, and how far.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A job that has said nothing for so long is gone, seconds.
const LOST: i32 = 30;

/// Jobs of this process.
#[derive(Default)]
pub struct Jobs(Mutex<HashMap<String, JoinHandle<()>>>);

impl Jobs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, JoinHandle<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all jobs and says so.
    pub async fn stop(&self, app: &App) {
        let ended: Vec<String> = self
            .lock()
            .drain()
            .map(|(id, task)| {
                task.abort();
                id
            })
            .collect();
        for id in ended {
            let error = ApiError::unavailable("the service was stopped; submit the job again");
            let (state, reply) = told(Err(error));
            let _ = finish(app, &id, state, &reply).await;
            let _ = called_back_never(app, &id).await;
        }
    }
}

/// How work is wanted.
pub struct Wanted {
    asynchronous: bool,
    callback: Option<Callback>,
}

impl Wanted {
    /// What a request says.
    ///
    /// # Errors
    /// 400.
    pub fn of(asynchronous: Option<bool>, callback_url: Option<&str>) -> Result<Self, ApiError> {
        let asynchronous = asynchronous == Some(true);
        Ok(Self {
            asynchronous,
            callback: Callback::asked(callback_url, asynchronous)?,
        })
    }

    /// Whether the client does not wait.
    pub fn is_job(&self) -> bool {
        self.asynchronous
    }
}

/// Does the work now, or as a job.
///
/// # Errors
/// Those of the work; 429 and 503 where there is no place.
pub async fn answer<F, W>(
    app: &Arc<App>,
    caller: &Caller,
    endpoint: &'static str,
    wanted: Wanted,
    work: W,
) -> Result<Response, ApiError>
where
    W: FnOnce(Arc<Work>) -> F + Send + 'static,
    F: Future<Output = Result<Answer, ApiError>> + Send + 'static,
{
    if !wanted.asynchronous {
        let turn = Arc::new(Work::new(app, caller, app.config.request_timeout)?);
        return Ok(work(turn).await?.into_response());
    }
    if app.jobs.lock().len() >= app.config.max_jobs {
        crate::metrics::refused("jobs");
        return Err(ApiError::later(
            StatusCode::SERVICE_UNAVAILABLE,
            30,
            "too many jobs are waiting; try again",
        ));
    }
    let id = keys::token();
    let insert = "INSERT INTO ai_audio_server.jobs (id, key, endpoint, state, callback) VALUES ($1, $2, $3, 'waiting', $4)";
    let callback = wanted.callback.as_ref().map(|_| "waiting");
    let connection = app.db.control().await?;
    connection
        .execute_typed(
            insert,
            &[
                (&id, Type::TEXT),
                (&caller.key.id, Type::TEXT),
                (&endpoint, Type::TEXT),
                (&callback, Type::TEXT),
            ],
        )
        .await?;
    drop(connection);
    let running = run(
        app.clone(),
        Caller {
            place: None,
            ..caller.clone()
        },
        (id.clone(), endpoint),
        wanted.callback,
        work,
    );
    app.jobs.lock().insert(id.clone(), tokio::spawn(running));
    let location = format!("{}/jobs/{id}", caller.base_url);
    let body = json!({"code": 202, "message": "accepted", "result": {"id": id, "url": location}});
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn run<F, W>(
    app: Arc<App>,
    caller: Caller,
    (id, endpoint): (String, &'static str),
    callback: Option<Callback>,
    work: W,
) where
    W: FnOnce(Arc<Work>) -> F + Send + 'static,
    F: Future<Output = Result<Answer, ApiError>> + Send + 'static,
{
    let counted = Counted::new("ai_audio_jobs", 1.0);
    let outcome = async {
        // A job waits as long as it takes for a place; the table of jobs bounds how many do.
        let mut waited = 0_u32;
        let turn = loop {
            if let Some(turn) = place(&app, &caller) {
                break turn;
            }
            tokio::time::sleep(HEARTBEAT / 10).await;
            waited += 1;
            if waited.is_multiple_of(10) && !beat(&app, &id, "waiting", None).await {
                return None;
            }
        };
        beat(&app, &id, "running", None).await;
        let mut working = std::pin::pin!(work(turn.clone()));
        loop {
            tokio::select! {
                outcome = &mut working => break Some(outcome),
                () = tokio::time::sleep(HEARTBEAT) => if !beat(&app, &id, "running", turn.progress()).await {
                    break None;
                },
            }
        }
    };
    // None: somebody cancelled it through another instance.
    if let Some(outcome) = outcome.await {
        let (state, reply) = told(outcome);
        if let Err(error) = finish(&app, &id, state, &reply).await {
            tracing::error!(error = %error, "the end of a job could not be noted");
        }
        drop(counted);
        if let Some(callback) = callback {
            let url = format!("{}/jobs/{id}", caller.base_url);
            let answer = (reply.len() <= MAX_ANSWER).then_some(reply);
            let answer = answer.and_then(|answer| RawValue::from_string(answer).ok());
            let body = json!({"id": id, "endpoint": endpoint, "state": state, "url": url, "answer": answer});
            let outcome = callback.deliver(&app, &caller.key, body.to_string()).await;
            tracing::info!(job = id, outcome, "callback");
            if let Err(error) = called_back(&app, &id, &outcome).await {
                tracing::error!(error = %error, "the end of a callback could not be noted");
            }
        }
    }
    app.jobs.lock().remove(&id);
}

/// A place among the key's requests and one in the queue.
fn place(app: &Arc<App>, caller: &Caller) -> Option<Arc<Work>> {
    let place = app.limits.occupy(&caller.key).ok()?;
    let caller = Caller {
        place: Some(place),
        ..caller.clone()
    };
    Work::new(app, &caller, app.config.job_timeout)
        .ok()
        .map(Arc::new)
}

/// Notes that a job lives; false where it was deleted.
async fn beat(app: &App, id: &str, state: &str, progress: Option<String>) -> bool {
    let sql = "UPDATE ai_audio_server.jobs SET state = $2, progress = coalesce($3, progress), seen_at = now(),
                 started_at = CASE WHEN $2 = 'running' THEN coalesce(started_at, now()) END WHERE id = $1";
    let noted = async {
        let connection = app.db.control().await?;
        Ok::<_, ApiError>(
            connection
                .execute_typed(
                    sql,
                    &[
                        (&id, Type::TEXT),
                        (&state, Type::TEXT),
                        (&progress, Type::TEXT),
                    ],
                )
                .await?,
        )
    };
    noted.await != Ok(0)
}

/// How a job ended, and what its client is told.
fn told(outcome: Result<Answer, ApiError>) -> (&'static str, String) {
    match outcome {
        Ok(answer) => ("done", answer.to_text()),
        Err(error) => (
            "failed",
            json!({"code": error.status.as_u16(), "message": error.message, "result": null})
                .to_string(),
        ),
    }
}

/// Notes that nobody will call the client any more.
async fn called_back_never(app: &App, id: &str) -> Result<(), ApiError> {
    let sql = "UPDATE ai_audio_server.jobs SET callback = 'failed: the service was stopped' WHERE id = $1 AND callback = 'waiting'";
    let connection = app.db.control().await?;
    connection.execute_typed(sql, &[(&id, Type::TEXT)]).await?;
    Ok(())
}

/// Notes how the client was called.
async fn called_back(app: &App, id: &str, outcome: &str) -> Result<(), ApiError> {
    let sql = "UPDATE ai_audio_server.jobs SET callback = $2 WHERE id = $1";
    let connection = app.db.control().await?;
    let params = [(&id as _, Type::TEXT), (&outcome as _, Type::TEXT)];
    connection.execute_typed(sql, &params).await?;
    Ok(())
}

async fn finish(app: &App, id: &str, state: &str, reply: &str) -> Result<(), ApiError> {
    let sql = "UPDATE ai_audio_server.jobs SET state = $2, reply = $3, seen_at = now(), finished_at = now(), progress = NULL
               WHERE id = $1 AND finished_at IS NULL";
    // The database may be on its way back.
    for wait in [1, 2, 4, 8, 0] {
        let noted = async {
            let connection = app.db.control().await?;
            Ok::<_, ApiError>(
                connection
                    .execute_typed(
                        sql,
                        &[
                            (&id, Type::TEXT),
                            (&state, Type::TEXT),
                            (&reply, Type::TEXT),
                        ],
                    )
                    .await?,
            )
        };
        match noted.await {
            Ok(_) => return Ok(()),
            Err(error) if wait == 0 => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_secs(wait)).await,
        }
    }
    Ok(())
}

/// How a job is going. Only the key that submitted it may ask.
#[utoipa::path(
    get, path = "/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "as in the answer that accepted the job")),
    responses((status = 200, body = crate::openapi::Job))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: axum::Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let sql = "SELECT CASE WHEN finished_at IS NULL AND seen_at < now() - $3 * interval '1 second' THEN 'lost' ELSE state END,
                 endpoint, progress, reply, to_json(created_at)::text, to_json(started_at)::text, to_json(finished_at)::text, callback
               FROM ai_audio_server.jobs WHERE id = $1 AND key = $2";
    let lost = f64::from(LOST);
    let connection = app.db.control().await?;
    let rows = connection
        .query_typed(
            sql,
            &[
                (&id, Type::TEXT),
                (&caller.key.id, Type::TEXT),
                (&lost, Type::FLOAT8),
            ],
        )
        .await?;
    let row = rows.first().ok_or_else(|| {
        ApiError::not_found("there is no such job of this key, or it was deleted")
    })?;
    let text = |at: usize| row.get::<_, Option<String>>(at);
    let json_or_null = |at: usize| text(at).and_then(|json| RawValue::from_string(json).ok());
    let (state, answer) = match text(0).unwrap_or_default().as_str() {
        "lost" => ("failed".to_string(), RawValue::from_string(r#"{"code":503,"message":"the service was restarted; submit the job again","result":null}"#.into()).ok()),
        state => (state.to_string(), json_or_null(3)),
    };
    let mut result = json!({"id": id, "endpoint": text(1), "state": state, "progress": text(2)});
    for (name, at) in [("created_at", 4), ("started_at", 5), ("finished_at", 6)] {
        result[name] = json!(json_or_null(at));
    }
    result["answer"] = json!(answer);
    result["callback"] = json!(text(7));
    Ok(Answer::of(result).into_response())
}

/// Cancels a job that waits or runs, and forgets it.
#[utoipa::path(
    delete, path = "/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "as in the answer that accepted the job")),
    responses((status = 200, body = crate::openapi::Success))
)]
pub async fn cancel(
    State(app): State<Arc<App>>,
    caller: axum::Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let connection = app.db.control().await?;
    let sql = "DELETE FROM ai_audio_server.jobs WHERE id = $1 AND key = $2";
    if connection
        .execute_typed(sql, &[(&id, Type::TEXT), (&caller.key.id, Type::TEXT)])
        .await?
        == 0
    {
        return Err(ApiError::not_found(
            "there is no such job of this key, or it was deleted",
        ));
    }
    // The session that is dropped with the task cancels its query.
    if let Some(task) = app.jobs.lock().remove(&id) {
        task.abort();
    }
    Ok(Answer::of(json!({"id": id}))
        .saying("the job is cancelled")
        .into_response())
}

/// Deletes old jobs.
///
/// # Errors
/// 503.
pub async fn expire(app: &App) -> Result<(), ApiError> {
    let sql = "DELETE FROM ai_audio_server.jobs WHERE created_at < now() - $1 * interval '1 hour' AND seen_at < now() - interval '1 hour'";
    let hours = app.config.keep_hours as f64;
    let connection = app.db.control().await?;
    connection
        .execute_typed(sql, &[(&hours, Type::FLOAT8)])
        .await?;
    Ok(())
}
