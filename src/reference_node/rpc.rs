//! JSON-RPC 2.0 over HTTP in Harmony's dialect, single requests and batches.
//!
//! Cheap by design: the methods that monitors poll read what the node published and touch no disk. Bounded by
//! design: connections, body, batch, and the time that a client may take. Nothing here can make the node wait.

mod answers;
pub mod http;
mod methods;

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::node::Submission;
use super::node::published::Published;
use super::store::Store;

/// Requests in a batch.
const BATCH_LIMIT: usize = 100;
/// Patience with the disk and with the node's task.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What the methods read from and write to.
#[derive(Clone)]
pub struct Service {
    published: Arc<Published>,
    store: Arc<Store>,
    submissions: mpsc::Sender<Submission>,
}

/// An error as JSON-RPC has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RpcError {
    code: i32,
    message: String,
}

impl RpcError {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn parameters(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    fn server(message: impl Into<String>) -> Self {
        Self::new(-32000, message)
    }
}

/// Parts that are not needed are ignored, as Harmony does.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    #[serde(default)]
    params: Value,
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, service: Service) {
    http::serve(listener, move |request| {
        let service = service.clone();
        async move { service.answer(request).await }
    })
    .await;
}

impl Service {
    /// A service over these parts of a node.
    #[must_use]
    pub fn new(
        published: Arc<Published>,
        store: Arc<Store>,
        submissions: mpsc::Sender<Submission>,
    ) -> Self {
        Self {
            published,
            store,
            submissions,
        }
    }

    async fn answer(&self, request: http::Request) -> http::Response {
        match request.method {
            // The cheap probe: whoever sends nothing gets nothing, with status 200.
            Method::GET if request.body.is_empty() => {
                http::Response::text(StatusCode::OK, String::new())
            }
            Method::POST => http::Response::json(self.document(&request.body).await),
            _ => http::Response::text(StatusCode::METHOD_NOT_ALLOWED, "use POST\n".into()),
        }
    }

    async fn document(&self, body: &[u8]) -> Vec<u8> {
        let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        if !is_batch {
            return self.one(body).await;
        }
        let Ok(requests) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
            return failure(None, &RpcError::new(-32700, "parse error"));
        };
        if requests.is_empty() || requests.len() > BATCH_LIMIT {
            let text = format!("a batch has 1 to {BATCH_LIMIT} requests");
            return failure(None, &RpcError::new(-32600, text));
        }
        let mut answers = vec![b'['];
        for (position, request) in requests.iter().enumerate() {
            if position > 0 {
                answers.push(b',');
            }
            answers.extend(self.one(request.get().as_bytes()).await);
        }
        answers.push(b']');
        answers
    }

    async fn one(&self, body: &[u8]) -> Vec<u8> {
        let request: Request<'_> = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) if error.is_data() => {
                return failure(None, &RpcError::new(-32600, "invalid request"));
            }
            Err(_) => return failure(None, &RpcError::new(-32700, "parse error")),
        };
        let parameters = match request.params {
            Value::Array(parameters) => Ok(parameters),
            Value::Null => Ok(Vec::new()),
            _ => Err(RpcError::parameters("parameters are an array")),
        };
        let result = match parameters {
            Ok(parameters) => self.call(&request.method, &parameters).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(result) => envelope(request.id, "result", &result),
            Err(error) => failure(request.id, &error),
        }
    }
}

fn failure(id: Option<&RawValue>, error: &RpcError) -> Vec<u8> {
    envelope(
        id,
        "error",
        &json!({ "code": error.code, "message": error.message }),
    )
}

fn envelope(id: Option<&RawValue>, kind: &str, content: &Value) -> Vec<u8> {
    let id = id.map_or("null", RawValue::get);
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"{kind}\":{content}}}").into_bytes()
}

#[cfg(test)]
mod tests;
