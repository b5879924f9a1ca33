//! A proxy between a host and the API server, on the loopback. It forwards everything, watches too, and lets a test decide when a request
//! arrives and when its answer does.

mod cut;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use futures::TryStreamExt as _;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use cut::{Cutting, Scissors};

/// The largest request that is forwarded: the API server itself takes 3 MiB.
const BODY_MAX_BYTES: usize = 3 << 20;

/// How long a test waits for a request that it holds or spoils, or for its answer: what takes a second on an idle machine.
const COMES_WITHIN: Duration = Duration::from_secs(60);

/// How long a host that is asked too often is told to wait, in seconds: the least that the header can say.
const RETRY_AFTER_SECS: &str = "1";

/// How long a request is held at most. A test that forgets one must not hold the whole run.
const HELD_MAX: Duration = Duration::from_secs(300);

/// A proxy that ends when it is dropped. What it still holds by then never arrives.
pub struct Proxy {
    address: SocketAddr,
    rules: Arc<Rules>,
    _runtime: Runtime,
}

/// One request, as it came from the host.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is asked, in the words of the audit log, such as `delete persistentvolumeclaims data-web-1`.
    what: String,
    /// What follows the question mark; empty where there is none.
    query: String,
    /// The body as text; empty where there is none.
    body: String,
}

/// Where a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before it is forwarded: the API server does not know of it yet.
    BeforeItArrives,
    /// Before its answer goes back: it is carried out, and the host does not know.
    BeforeItIsAnswered,
}

/// A request that is held, or will be when it comes. Where this is dropped, a request that is held before it arrives is never forwarded.
pub struct Held {
    caught: Receiver<String>,
    release: oneshot::Sender<()>,
    answered: Receiver<StatusCode>,
}

/// What becomes of one request that a test spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// It is not forwarded, and answered with this status.
    Refused(StatusCode),
    /// It is carried out, and answered with this status.
    Disowned(StatusCode),
    /// It is carried out, and the connection is cut before its answer; where it is a watch, when the first event is to be sent.
    Unanswered,
}

/// Requests are refused until this is dropped.
pub struct Refused {
    rules: Arc<Rules>,
    number: u64,
}

/// Hears of each request as it comes.
type Listener = Box<dyn FnMut(&Call) + Send>;

/// What is done with requests, in the order in which it was asked for. The first rule that matches decides.
#[derive(Default)]
struct Rules(Mutex<Listed>);

#[derive(Default)]
struct Listed {
    next: u64,
    listener: Option<Listener>,
    rules: Vec<Rule>,
}

struct Rule {
    number: u64,
    matches: Box<dyn Fn(&Call) -> bool + Send>,
    fate: Fate,
}

/// What becomes of a request.
enum Fate {
    /// The first that matches is held; those after it are not.
    Hold(Point, Catch),
    /// The first that matches is spoilt, which is told; those after it are not.
    Spoil(Spoilt, Sender<()>),
    /// All that match are answered so, and not forwarded.
    Refuse(StatusCode),
}

/// The proxy's end of [`Held`].
struct Catch {
    caught: Sender<String>,
    release: oneshot::Receiver<()>,
    answered: Sender<StatusCode>,
}

impl Proxy {
    /// A proxy to the API server that a kubeconfig names. It brings no credentials of its own: a request keeps those that it came with.
    ///
    /// # Errors
    /// Where the kubeconfig cannot be read, or no port be had.
    pub fn start(kubeconfig: &Path) -> Result<Self> {
        let runtime = Runtime::new()?;
        let rules = Arc::new(Rules::default());
        let address = runtime.block_on(async {
            let state = (Arc::clone(&rules), anonymous(kubeconfig).await?);
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let router = Router::new().fallback(answer).with_state(state);
            let service = router.into_make_service_with_connect_info::<Scissors>();
            tokio::spawn(async move { axum::serve(Cutting(listener), service).await });
            anyhow::Ok(address)
        })?;
        Ok(Self { address, rules, _runtime: runtime })
    }

    /// The address for a kubeconfig.
    #[must_use]
    pub fn server(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has each request told to `listener` as it comes, before any rule is asked about it.
    pub fn listen(&self, listener: impl FnMut(&Call) + Send + 'static) {
        self.rules.listed().listener = Some(Box::new(listener));
    }

    /// Holds the next request that matches. It is held even where the host that sent it ends, as a slow network would.
    pub fn hold(&self, point: Point, matches: impl Fn(&Call) -> bool + Send + 'static) -> Held {
        let (caught_at, caught) = channel();
        let (release, released) = oneshot::channel();
        let (answered_with, answered) = channel();
        let catch = Catch { caught: caught_at, release: released, answered: answered_with };
        self.rules.add(matches, Fate::Hold(point, catch));
        Held { caught, release, answered }
    }

    /// Spoils the next request that matches; what is answered tells when that has happened.
    pub fn spoil(
        &self,
        how: Spoilt,
        matches: impl Fn(&Call) -> bool + Send + 'static,
    ) -> Receiver<()> {
        let (spoilt_at, spoilt) = channel();
        self.rules.add(matches, Fate::Spoil(how, spoilt_at));
        spoilt
    }

    /// Refuses every request that matches with this status.
    pub fn refuse(
        &self,
        status: StatusCode,
        matches: impl Fn(&Call) -> bool + Send + 'static,
    ) -> Refused {
        let number = self.rules.add(matches, Fate::Refuse(status));
        Refused { rules: Arc::clone(&self.rules), number }
    }
}

impl Held {
    /// Waits until the request is there; answers its body.
    ///
    /// # Errors
    /// Where it does not come.
    pub fn caught(&self) -> Result<String> {
        self.caught
            .recv_timeout(COMES_WITHIN)
            .context("the request that is to be held did not come")
    }

    /// Lets it go on; answers what the API server said to it.
    ///
    /// # Errors
    /// Where it is not answered.
    pub fn release(self) -> Result<StatusCode> {
        // Nobody waits for it where it was held for too long, and then there is no answer either.
        let _ = self.release.send(());
        self.answered
            .recv_timeout(COMES_WITHIN)
            .context("the request that was held was never answered")
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        self.rules.take(self.number);
    }
}

impl Call {
    /// Whether it asks for this, in the words of the audit log.
    #[must_use]
    pub fn is(&self, what: &str) -> bool {
        self.what == what
    }

    /// What follows the question mark; empty where there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The body as text; empty where there is none.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Whether its body holds this text.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    fn new(method: &Method, uri: &Uri, body: &[u8]) -> Self {
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        // Either `api/v1` or `apis/GROUP/VERSION`, then `namespaces/NAME`, then what it is about.
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let version = if parts.first() == Some(&"api") { 2 } else { 3 };
        let named = parts.get(version) == Some(&"namespaces");
        // What is about a namespace itself names nothing behind it.
        let named = named && parts.len() > version + 2;
        let about = parts.get(version + if named { 2 } else { 0 }..).unwrap_or_default();
        let verb = match *method {
            Method::POST => "create",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            Method::PUT => "update",
            _ if query.contains("watch=true") => "watch",
            _ if about.len() == 1 => "list",
            _ => "get",
        };
        let what = match about {
            [] => format!("{verb} {path}"),
            [resource] if verb == "create" => {
                format!("{verb} {resource} {}", name_in(body)).trim_end().to_owned()
            }
            [resource] => format!("{verb} {resource}"),
            [resource, name] => format!("{verb} {resource} {name}"),
            [resource, name, rest @ ..] => format!("{verb} {resource}/{} {name}", rest.join("/")),
        };
        let body = String::from_utf8_lossy(body).into_owned();
        Self { what, query: query.to_owned(), body }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)
    }
}

impl Rules {
    fn add(&self, matches: impl Fn(&Call) -> bool + Send + 'static, fate: Fate) -> u64 {
        let mut listed = self.listed();
        listed.next += 1;
        let number = listed.next;
        listed.rules.push(Rule { number, matches: Box::new(matches), fate });
        number
    }

    fn take(&self, number: u64) {
        let mut listed = self.listed();
        listed.rules.retain(|rule| rule.number != number);
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate_of(&self, call: &Call) -> Option<Fate> {
        let mut listed = self.listed();
        if let Some(listener) = &mut listed.listener {
            listener(call);
        }
        let at = listed.rules.iter().position(|rule| (rule.matches)(call))?;
        match &listed.rules[at].fate {
            Fate::Refuse(status) => Some(Fate::Refuse(*status)),
            Fate::Hold(..) | Fate::Spoil(..) => Some(listed.rules.remove(at).fate),
        }
    }
}

/// Answers one request. The work is done in a task of its own, so that what was sent arrives though the one who sent it is gone.
async fn answer(
    State((rules, upstream)): State<(Arc<Rules>, Client)>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX_BYTES).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "it is larger than the proxy forwards");
    };
    let call = Call::new(&head.method, &head.uri, &body);
    let mut forwarded = http::Request::new(kube::client::Body::from(body.to_vec()));
    *forwarded.method_mut() = head.method;
    *forwarded.uri_mut() = head.uri;
    *forwarded.headers_mut() = end_to_end(head.headers);
    let fate = rules.fate_of(&call);
    let work = tokio::spawn(async move {
        match fate {
            None => forward(&upstream, forwarded).await,
            Some(Fate::Refuse(status)) => refusal(status, "the test's proxy refuses it"),
            Some(Fate::Hold(point, catch)) => {
                held(&upstream, forwarded, call.body, point, catch).await
            }
            Some(Fate::Spoil(how, told)) => {
                let answer = spoilt(&upstream, forwarded, how, scissors).await;
                // The test may have ended.
                let _ = told.send(());
                answer
            }
        }
    });
    work.await.unwrap_or_else(|error| refusal(StatusCode::BAD_GATEWAY, &error.to_string()))
}

/// Nobody listens any more where the test has failed meanwhile, which changes nothing for the request.
async fn held(
    upstream: &Client,
    request: http::Request<kube::client::Body>,
    body: String,
    point: Point,
    catch: Catch,
) -> Response {
    let Catch { caught, release, answered } = catch;
    let released = tokio::time::timeout(HELD_MAX, release);
    let answer = match point {
        Point::BeforeItArrives => {
            let _ = caught.send(body);
            match released.await {
                Ok(Ok(())) => forward(upstream, request).await,
                Ok(Err(_)) | Err(_) => {
                    return refusal(StatusCode::GATEWAY_TIMEOUT, "it was held until nobody waited");
                }
            }
        }
        Point::BeforeItIsAnswered => {
            let answer = forward(upstream, request).await;
            let _ = caught.send(body);
            let _ = released.await;
            answer
        }
    };
    let _ = answered.send(answer.status());
    answer
}

async fn spoilt(
    upstream: &Client,
    request: http::Request<kube::client::Body>,
    how: Spoilt,
    scissors: Scissors,
) -> Response {
    match how {
        Spoilt::Refused(status) => refusal(status, "the test's proxy refuses it"),
        Spoilt::Disowned(status) => {
            forward(upstream, request).await;
            refusal(status, "the test's proxy keeps the answer to itself")
        }
        Spoilt::Unanswered => {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let answer = forward(upstream, request).await;
            if !is_watch {
                scissors.cut();
                return answer;
            }
            let (head, body) = answer.into_parts();
            let events = body.into_data_stream().inspect_ok(move |_| scissors.cut());
            Response::from_parts(head, Body::from_stream(events))
        }
    }
}

async fn forward(upstream: &Client, request: http::Request<kube::client::Body>) -> Response {
    match upstream.send(request).await {
        Ok(answer) => {
            let (mut head, body) = answer.into_parts();
            head.headers = end_to_end(head.headers);
            Response::from_parts(head, Body::new(body))
        }
        Err(error) => refusal(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

/// Without the headers that are for one connection only.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [HOST, CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// A refusal in Kubernetes' own form.
fn refusal(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason(status),
        "code": status.as_u16(),
    });
    let mut answer =
        (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS));
    }
    answer
}

/// The name of the object that a body holds; empty where it holds none.
fn name_in(body: &[u8]) -> String {
    let object: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// The word by which Kubernetes' clients know what a status means.
fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::CONFLICT => "Conflict",
        StatusCode::GONE => "Expired",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::INTERNAL_SERVER_ERROR => "InternalError",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        StatusCode::GATEWAY_TIMEOUT => "Timeout",
        _ => "",
    }
}

/// A client without credentials and without retries: what it sends is as it was given.
async fn anonymous(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.auth_info = AuthInfo::default();
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
