//! Files over HTTP, for what machines fetch at their first start: it stands for a vendor's mirror or presigned URLs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files;
use crate::images::Image;
use crate::tools;

/// How long a client may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest head of a request, in bytes.
const HEAD: u64 = 16 << 10;

/// Files that could not be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// What a file is on the machine that fetches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A program.
    Program,
    /// A CNI plugin.
    Plugin,
    /// An image for containerd.
    Image,
}

/// A file that is served.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Served {
    /// Its name: the last part of its URL.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Where it is fetched from.
    pub url: String,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// A server of files. It ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct FileServer {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    /// What it serves.
    pub files: Vec<Served>,
}

/// What makes a machine a node, as the tools and Debian's packages have it, and `images`.
#[must_use]
pub fn node_files(images: &[Image]) -> Vec<(String, Kind, PathBuf)> {
    let program = |name: &str, path: PathBuf| (name.to_owned(), Kind::Program, path);
    let mut files = vec![program("kubelet", tools::KUBERNETES.program("kubelet"))];
    for name in ["containerd", "containerd-shim-runc-v2", "ctr"] {
        files.push(program(name, PathBuf::from("/usr/bin").join(name)));
    }
    files.push(program("runc", "/usr/sbin/runc".into()));
    for name in ["host-local", "loopback", "ptp"] {
        files.push((name.to_owned(), Kind::Plugin, PathBuf::from("/usr/lib/cni").join(name)));
    }
    for (number, image) in images.iter().enumerate() {
        files.push((image_name(number), Kind::Image, image.archive.clone()));
    }
    files
}

/// What the image at this place of the list is called.
#[must_use]
pub fn image_name(place: usize) -> String {
    format!("image-{place}")
}

impl FileServer {
    /// Serves files by name. For machines beside the cluster the address is
    /// [`HOST_ADDRESS`](crate::network::HOST_ADDRESS); port 0 is a free one.
    ///
    /// # Errors
    /// When a file cannot be read or the address not be listened on.
    pub fn start(address: SocketAddr, files: &[(String, Kind, PathBuf)]) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut served = Vec::with_capacity(files.len());
        for (name, kind, path) in files {
            let mut hash = Sha256::new();
            let mut file = fs::File::open(path).map_err(files::at("open", path))?;
            io::copy(&mut file, &mut hash).map_err(files::at("read", path))?;
            let (url, sha256) = (format!("http://{address}/{name}"), hex::encode(hash.finalize()));
            served.push(Served { name: name.clone(), kind: *kind, url, sha256 });
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let (paths, flag) = (paths(files), stopped.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if flag.load(Ordering::Relaxed) {
                    break;
                }
                let paths = paths.clone();
                // A client that goes away concerns nobody else.
                thread::spawn(move || drop(answer(&stream, &paths)));
            }
        });
        Ok(Self { address, stopped, files: served })
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // It looks at the flag when somebody comes.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
    }
}

/// Where each file lies, by the path it is asked for.
fn paths(files: &[(String, Kind, PathBuf)]) -> Arc<BTreeMap<String, PathBuf>> {
    Arc::new(files.iter().map(|(name, _, path)| (format!("/{name}"), path.clone())).collect())
}

/// Answers one request and closes: a GET of a file that is served, or 404.
fn answer(stream: &TcpStream, paths: &BTreeMap<String, PathBuf>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(HEAD));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    // The rest of the head: unread, it would reset the connection.
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut writer = stream;
    let words: Vec<&str> = first.split(' ').collect();
    let path = match words[..] {
        ["GET", target, _] => paths.get(target.split('?').next().unwrap_or_default()),
        _ => None,
    };
    let Some(path) = path else {
        return writer.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    io::copy(&mut file, &mut writer)?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{command, output};

    #[test]
    fn a_file_is_served_by_its_name_and_no_other_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "hello").unwrap();
        let files = [("kubelet".to_owned(), Kind::Program, path)];
        let server = FileServer::start(([127, 0, 0, 1], 0).into(), &files).unwrap();
        let served = &server.files[0];
        assert_eq!(served.sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        let curl = |url: &str| output("curl", &mut command("curl", ["-fsS", "--path-as-is", url]));
        assert_eq!(curl(&format!("{}?signature=x", served.url)).unwrap(), "hello");
        for other in ["/../etc/passwd", "", "/etc/passwd"] {
            assert!(curl(&format!("http://{}/{other}", server.address)).is_err(), "{other}");
        }
        let address = server.address;
        drop(server);
        while TcpStream::connect(address).is_ok() {}
    }
}
