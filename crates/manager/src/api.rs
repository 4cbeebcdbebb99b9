//! The HTTP API: routes and the description, from one place.
#![allow(
    unused_qualifications,
    reason = "the code that utoipa generates names parameter types by their path"
)]

use crate::{Error, Manager};
use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use std::{collections::VecDeque, convert::Infallible};
use tessera_client::{ApiError, CreateVgpu, ErrorCode, Event, Gpu, GpuType, ManagerInfo, Vgpu};
use utoipa::{IntoParams, OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Events in one answer.
const EVENTS_AT_ONCE: u32 = 1_000;

/// What goes wrong in a handler, as an answer.
struct Answer(ApiError);

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        if error.code() == ErrorCode::Internal {
            tracing::error!(%error, "a request failed");
        }
        Self(error.to_api())
    }
}

macro_rules! bad_request {
    ($($rejection:ty),*) => {$(
        impl From<$rejection> for Answer {
            fn from(rejection: $rejection) -> Self {
                Self(ApiError { code: ErrorCode::InvalidArgument, message: rejection.body_text() })
            }
        }
    )*};
}
bad_request!(JsonRejection, QueryRejection, PathRejection);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

type Reply<T> = Result<T, Answer>;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SampleQuery {
    /// How long to measure time shares where there is no earlier measurement, milliseconds; 0 answers at once.
    #[serde(default)]
    sample_ms: u32,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Only events with a higher sequence number.
    #[serde(default)]
    after: u64,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Tessera manager",
    description = "GPUs, vGPUs and what happens to them, on one host. Served on a unix socket."
))]
struct Description;

fn described() -> OpenApiRouter<Manager> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(manager))
        .routes(routes!(list_gpus))
        .routes(routes!(list_types))
        .routes(routes!(list_vgpus, create_vgpu))
        .routes(routes!(show_vgpu, delete_vgpu))
        .routes(routes!(list_events))
        .routes(routes!(follow_events))
}

/// The OpenAPI description of the API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().split_for_parts().1
}

/// The API of a manager.
pub(crate) fn router(manager: Manager) -> Router {
    let (router, description) = described().split_for_parts();
    router
        .route(
            "/openapi.json",
            axum::routing::get(|| async move { Json(description) }),
        )
        .fallback(|| async {
            Answer(not_there(
                "there is nothing at this path; /openapi.json describes the API",
            ))
        })
        .method_not_allowed_fallback(|| async {
            let message = "this path does not take this method; /openapi.json describes the API".to_owned();
            (
                StatusCode::METHOD_NOT_ALLOWED,
                Json(ApiError {
                    code: ErrorCode::InvalidArgument,
                    message,
                }),
            )
        })
        .with_state(manager)
}

fn not_there(message: &str) -> ApiError {
    ApiError {
        code: ErrorCode::NotFound,
        message: message.to_owned(),
    }
}

/// Who answers.
#[utoipa::path(get, path = "/v1/manager", responses((status = 200, body = ManagerInfo)))]
async fn manager(State(manager): State<Manager>) -> Json<ManagerInfo> {
    Json(manager.info())
}

/// The physical GPUs.
#[utoipa::path(get, path = "/v1/gpus", responses((status = 200, body = [Gpu])))]
async fn list_gpus(State(manager): State<Manager>) -> Reply<Json<Vec<Gpu>>> {
    Ok(Json(manager.gpus().await?))
}

/// The types of a GPU, and how many of each can be created now.
#[utoipa::path(
    get, path = "/v1/gpus/{gpu}/types",
    params(("gpu" = String, Path, description = "index or UUID")),
    responses((status = 200, body = [GpuType]), (status = 404, body = ApiError))
)]
async fn list_types(
    State(manager): State<Manager>,
    gpu: Result<Path<String>, PathRejection>,
) -> Reply<Json<Vec<GpuType>>> {
    Ok(Json(manager.types(&gpu?).await?))
}

/// The vGPUs.
#[utoipa::path(get, path = "/v1/vgpus", params(SampleQuery), responses((status = 200, body = [Vgpu])))]
async fn list_vgpus(
    State(manager): State<Manager>,
    query: Result<Query<SampleQuery>, QueryRejection>,
) -> Reply<Json<Vec<Vgpu>>> {
    Ok(Json(manager.vgpus(query?.sample_ms).await?))
}

/// Creates a vGPU and waits for its worker to answer.
#[utoipa::path(
    post, path = "/v1/vgpus", request_body = CreateVgpu,
    responses(
        (status = 201, body = Vgpu),
        (status = 400, body = ApiError), (status = 409, body = ApiError), (status = 422, body = ApiError),
        (status = 502, body = ApiError), (status = 507, body = ApiError)
    )
)]
async fn create_vgpu(
    State(manager): State<Manager>,
    request: Result<Json<CreateVgpu>, JsonRejection>,
) -> Reply<(StatusCode, Json<Vgpu>)> {
    let Json(request) = request?;
    Ok((StatusCode::CREATED, Json(manager.create(request).await?)))
}

/// One vGPU.
#[utoipa::path(
    get, path = "/v1/vgpus/{vgpu}",
    params(("vgpu" = String, Path, description = "UUID, unique start of one, or name"), SampleQuery),
    responses((status = 200, body = Vgpu), (status = 404, body = ApiError))
)]
async fn show_vgpu(
    State(manager): State<Manager>,
    vgpu: Result<Path<String>, PathRejection>,
    query: Result<Query<SampleQuery>, QueryRejection>,
) -> Reply<Json<Vgpu>> {
    Ok(Json(manager.vgpu(&vgpu?, query?.sample_ms).await?))
}

/// Deletes a vGPU and waits until its worker is gone.
#[utoipa::path(
    delete, path = "/v1/vgpus/{vgpu}",
    params(("vgpu" = String, Path, description = "UUID, unique start of one, or name")),
    responses((status = 204), (status = 404, body = ApiError), (status = 502, body = ApiError))
)]
async fn delete_vgpu(
    State(manager): State<Manager>,
    vgpu: Result<Path<String>, PathRejection>,
) -> Reply<StatusCode> {
    manager.delete(&vgpu?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What happened, oldest first, a thousand at most.
#[utoipa::path(get, path = "/v1/events", params(EventsQuery), responses((status = 200, body = [Event])))]
async fn list_events(
    State(manager): State<Manager>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Reply<Json<Vec<Event>>> {
    Ok(Json(manager.events(query?.after, EVENTS_AT_ONCE).await?))
}

/// What happened and what happens: server-sent events with the sequence number as id and an `Event` as data.
#[utoipa::path(
    get, path = "/v1/events/stream", params(EventsQuery),
    responses((status = 200, content_type = "text/event-stream", body = Event))
)]
async fn follow_events(
    State(manager): State<Manager>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Reply<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>> {
    let follower = Follower {
        changes: manager.changes(),
        stopping: manager.stopping(),
        manager,
        after: query?.after,
        queue: VecDeque::new(),
    };
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        let encoded = sse::Event::default()
            .id(event.sequence.to_string())
            .event(event.kind.as_str());
        Some((Ok(encoded.json_data(&event).unwrap_or_default()), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Reads on from where it was whenever something changed: no event is missed, however slow the reader.
struct Follower {
    manager: Manager,
    changes: tokio::sync::watch::Receiver<u64>,
    stopping: tokio::sync::watch::Receiver<bool>,
    after: u64,
    queue: VecDeque<Event>,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                self.after = event.sequence;
                return Some(event);
            }
            self.changes.borrow_and_update();
            self.queue = self.manager.events(self.after, EVENTS_AT_ONCE).await.ok()?.into();
            if self.queue.is_empty() {
                tokio::select! {
                    changed = self.changes.changed() => changed.ok()?,
                    _ = self.stopping.wait_for(|stopping| *stopping) => return None,
                }
            }
        }
    }
}
