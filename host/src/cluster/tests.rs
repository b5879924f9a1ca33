use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

/// A server that answers every request with this status, and counts them.
fn server(status: u16) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut begin = [0; 4_096];
            if stream.read(&mut begin).unwrap() == 0 {
                continue;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let head = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\nRetry-After: 0\r\n");
            stream.write_all(format!("{head}Connection: close\r\n\r\n{{}}").as_bytes()).unwrap();
        }
    });
    (format!("http://{address}"), asked)
}

/// A client of the library's own making sends each of these again, fifteen times over minutes.
#[tokio::test]
async fn a_request_is_sent_once() {
    for status in [429, 503, 504] {
        let (address, asked) = server(status);
        let cluster = Cluster::new(Config::new(address.parse().unwrap()), Effect::Real).unwrap();
        let request = Request::delete("/api/v1/namespaces/ns/persistentvolumeclaims/data-web-1");
        let request = request.body(Vec::new()).unwrap();
        let answer = cluster.write("deleting a claim".to_owned(), request).await;
        assert!(answer.is_err(), "{status}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{status}");
        let read = cluster.read("ns", "web", Order::ClaimsFirst).await;
        assert!(read.is_err(), "{status}");
        assert_eq!(asked.load(Ordering::SeqCst), 2, "half a reading is none: {status}");
    }
}

#[tokio::test]
async fn what_is_refused_by_status_is_an_error_that_says_so() {
    for status in [403, 409, 410, 500] {
        let (address, asked) = server(status);
        let cluster = Cluster::new(Config::new(address.parse().unwrap()), Effect::Real).unwrap();
        let found = cluster.config_map("ns", "policy").await;
        assert!(found.is_err(), "{status}: {found:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{status}");
    }
}
