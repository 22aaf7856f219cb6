//! A Postgres for a machine that has none: the binaries of a release, or of an archive that the user names, in a cache.

use std::fs::{self, File};
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use flate2::read::GzDecoder;
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::binaries;

/// The release to fetch, and its location.
pub const VERSION: &str = "17.4.0";
const RELEASES: &str = "https://github.com/theseus-rs/postgresql-binaries/releases/download";
/// Variable with the path or address of an archive to use instead.
pub const ARCHIVE: &str = "TRUEUP_POSTGRES_ARCHIVE";

/// Size limit in bytes; no Postgres archive is larger.
const MOST_BYTES: u64 = 1 << 30;
/// A server that sends nothing for this long is treated as unreachable.
const SILENCE: Duration = Duration::from_secs(30);
/// Maximum depth of the programs below the archive's root.
const DEPTH: usize = 6;

/// An archive's location, and the cache folder that it is unpacked into.
#[derive(Debug, Clone)]
pub struct Download {
    origin: Origin,
    folder: PathBuf,
}

#[derive(Debug, Clone)]
enum Origin {
    /// The release; it is not used without its checksum.
    Release(String),
    /// An address or path from the user. If there is a checksum next to it, it is verified.
    Address(String),
    File(PathBuf),
}

impl Download {
    /// Returns the archive in `TRUEUP_POSTGRES_ARCHIVE`, else the release for this machine; `None` if there is none.
    pub fn new() -> Result<Option<Self>> {
        let archive = std::env::var(ARCHIVE).ok().filter(|text| !text.is_empty());
        Self::of(archive.as_deref(), &cache()?)
    }

    /// Like [`Self::new`], with the archive's path or address and the cache folder as arguments.
    pub fn of(archive: Option<&str>, cache: &Path) -> Result<Option<Self>> {
        let origin = match archive {
            Some(text) if text.starts_with("http://") || text.starts_with("https://") => {
                Origin::Address(text.to_owned())
            }
            Some(text) => Origin::File(std::path::absolute(text)?),
            None => match target() {
                Some(target) => Origin::Release(format!("{RELEASES}/{VERSION}/postgresql-{VERSION}-{target}.tar.gz")),
                None => return Ok(None),
            },
        };
        let name = match &origin {
            Origin::Release(_) => VERSION.to_owned(),
            Origin::Address(address) => digest(address.as_bytes())[..16].to_owned(),
            Origin::File(path) => {
                let meta = fs::metadata(path)
                    .with_context(|| format!("could not read `{}`, set in {ARCHIVE}", path.display()))?;
                digest(format!("{} {} {:?}", path.display(), meta.len(), meta.modified().ok()).as_bytes())[..16]
                    .to_owned()
            }
        };
        Ok(Some(Self { origin, folder: cache.join(name) }))
    }

    /// Returns the folder with the programs if the archive is already unpacked.
    pub fn unpacked(&self) -> Option<PathBuf> {
        programs(&self.folder, DEPTH)
    }

    /// True if the user named the archive, which counts as consent to use it.
    pub fn is_named(&self) -> bool {
        !matches!(self.origin, Origin::Release(_))
    }

    /// Describes the source and the destination of the download.
    pub fn words(&self) -> String {
        let what = match &self.origin {
            Origin::Release(_) => format!("PostgreSQL {VERSION} from {RELEASES}"),
            Origin::Address(address) => address.clone(),
            Origin::File(path) => path.display().to_string(),
        };
        format!("{what} into {}", self.folder.display())
    }

    /// Fetches, verifies and unpacks the archive. `report` gets the bytes received so far and the total.
    pub async fn fetch(&self, report: &mut (dyn FnMut(u64, u64) + Send)) -> Result<PathBuf> {
        let parent = self.folder.parent().context("the cache path has no parent folder")?;
        make_folder(parent)?;
        remove_leftovers(parent);
        let scratch = Scratch::new(parent)?;
        let mut archive = scratch.file()?;
        let (found, expected) = match &self.origin {
            Origin::Release(address) => {
                let expected = checksum(address).await?.with_context(|| format!("{address}.sha256 does not exist"))?;
                (fetch(address, &mut archive, report).await?, Some(expected))
            }
            Origin::Address(address) => {
                let expected = checksum(address).await?;
                (fetch(address, &mut archive, report).await?, expected)
            }
            Origin::File(path) => {
                let file = File::open(path).with_context(|| format!("could not open `{}`", path.display()))?;
                (copy(file, &mut archive, report)?, checksum_beside(path)?)
            }
        };
        if let Some(expected) = expected {
            ensure!(
                found.eq_ignore_ascii_case(&expected),
                "the archive does not match its checksum (SHA-256 {found}, expected {expected}): it was modified, or \
                 the download was cut off"
            );
        }
        let (target, folder) = (scratch.unpacked(), self.folder.clone());
        tokio::task::spawn_blocking(move || install(archive, &target, &folder)).await?
    }
}

/// Unpacks into a scratch folder and moves it into place, so that other programs never see a partial copy.
fn install(mut archive: File, scratch: &Path, folder: &Path) -> Result<PathBuf> {
    // The server's account must be able to enter it, regardless of the umask.
    make_folder(scratch)?;
    archive.seek(SeekFrom::Start(0))?;
    let mut magic = [0; 2];
    let is_gzip = archive.read(&mut magic)? == 2 && magic == [0x1f, 0x8b];
    archive.seek(SeekFrom::Start(0))?;
    let unpacked = match is_gzip {
        true => tar::Archive::new(GzDecoder::new(archive).take(MOST_BYTES)).unpack(scratch),
        false => tar::Archive::new(archive.take(MOST_BYTES)).unpack(scratch),
    };
    unpacked.context(
        "the archive could not be unpacked: it must be a .tar.gz or .tar with the programs of Postgres in `bin`",
    )?;
    let bin = programs(scratch, DEPTH).context("the archive contains no folder with `initdb` and `postgres`")?;
    ensure!(
        binaries::version_of(&bin).is_some_and(|version| version >= binaries::OLDEST),
        "the programs in the archive do not run on this machine, or are older than Postgres {}",
        binaries::OLDEST
    );
    // Another program may have been faster; its copy is the same.
    if let Err(error) = fs::rename(scratch, folder)
        && programs(folder, DEPTH).is_none()
    {
        bail!("could not move the unpacked archive to `{}`: {error}", folder.display());
    }
    programs(folder, DEPTH).context("the unpacked archive disappeared")
}

/// Removes leftovers of killed downloads that are more than a day old.
fn remove_leftovers(parent: &Path) {
    // An unreadable folder, or one that disappears meanwhile, can be skipped.
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        let is_old = age.is_some_and(|age| age > Duration::from_secs(86_400));
        if is_old && entry.file_name().to_string_lossy().starts_with("unpacking-") {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// The folder of a download in progress, removed on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Self> {
        let folder = parent.join(format!("unpacking-{}", uuid::Uuid::new_v4().simple()));
        make_folder(&folder)?;
        Ok(Self(folder))
    }

    fn file(&self) -> Result<File> {
        let path = self.0.join("archive");
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .with_context(|| format!("could not write `{}`", path.display()))
    }

    fn unpacked(&self) -> PathBuf {
        self.0.join("unpacked")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "could not remove the folder of a download");
        }
    }
}

/// Returns the Rust target that release files are named after.
fn target() -> Option<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some("x86_64-unknown-linux-gnu"),
        ("linux", "aarch64") => Some("aarch64-unknown-linux-gnu"),
        ("macos", "x86_64") => Some("x86_64-apple-darwin"),
        ("macos", "aarch64") => Some("aarch64-apple-darwin"),
        _ => None,
    }
}

/// Returns the cache folder. For root it is a system folder, which the server's account can read.
fn cache() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let chosen = set("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    if chosen.is_none() && rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/cache/trueup/postgres"));
    }
    let root = chosen.or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(root.context("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder")?.join("trueup/postgres"))
}

/// Creates a folder that every account can read, regardless of the umask.
fn make_folder(path: &Path) -> Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("could not create `{}`", folder.display()));
            }
            _ => fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?,
        }
    }
    Ok(())
}

/// Returns the first folder with `initdb` and `postgres`, down to `depth` levels below.
fn programs(folder: &Path, depth: usize) -> Option<PathBuf> {
    if folder.join("initdb").is_file() && folder.join("postgres").is_file() {
        return Some(folder.to_owned());
    }
    // An unreadable folder counts as empty.
    let entries = if depth > 0 { fs::read_dir(folder).ok()? } else { return None };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.iter().find_map(|folder| programs(folder, depth - 1))
}

/// Returns a client that follows redirects and uses the environment's proxy, as a browser would.
fn client(address: &str) -> Result<Client> {
    // The first user of TLS in the process installs the provider; later installs fail harmlessly.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::builder().connect_timeout(SILENCE).read_timeout(SILENCE);
    // An https address must not be redirected to plain http.
    let client = client.https_only(address.starts_with("https://"));
    client.user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION"))).build().context("could not prepare a download")
}

async fn get(address: &str) -> Result<Response> {
    client(address)?.get(address).send().await.map_err(|error| anyhow!("could not fetch {address}: {}", cause(&error)))
}

/// Returns the root cause of an error: a name that does not resolve, a refused connection.
fn cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().map_or(String::new(), ToString::to_string)
}

/// Fetches the checksum next to an archive; `None` if there is none.
async fn checksum(address: &str) -> Result<Option<String>> {
    let address = format!("{address}.sha256");
    let mut answer = get(&address).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    ensure!(answer.status().is_success(), "could not fetch {address}: the server answered {}", answer.status());
    // A checksum and a file name; anything longer is not a checksum file.
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.with_context(|| format!("could not fetch {address}"))? {
        text.extend_from_slice(&chunk);
        ensure!(text.len() <= 4_096, "{address} contains no SHA-256 checksum");
    }
    first_word(&String::from_utf8_lossy(&text))
        .map(Some)
        .with_context(|| format!("{address} contains no SHA-256 checksum"))
}

fn checksum_beside(path: &Path) -> Result<Option<String>> {
    let beside = PathBuf::from(format!("{}.sha256", path.display()));
    match fs::read_to_string(&beside) {
        Ok(text) => {
            first_word(&text).map(Some).with_context(|| format!("`{}` contains no SHA-256 checksum", beside.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read `{}`", beside.display())),
    }
}

fn first_word(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    (word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| word.to_owned())
}

/// Downloads an address into a file. Returns the checksum.
async fn fetch(address: &str, into: &mut File, report: &mut (dyn FnMut(u64, u64) + Send)) -> Result<String> {
    let mut answer = get(address).await?;
    ensure!(answer.status().is_success(), "could not fetch {address}: the server answered {}", answer.status());
    let length = answer.content_length();
    let (mut done, mut hash) = (0, Sha256::new());
    let failed = |error: reqwest::Error| anyhow!("could not fetch {address}: {}", cause(&error));
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        done += chunk.len() as u64;
        ensure!(done <= MOST_BYTES, "{address} is larger than any archive of Postgres");
        hash.update(&chunk);
        into.write_all(&chunk).context("could not write the download")?;
        report(done, length.unwrap_or(done));
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// Copies a file into another. Returns the checksum.
fn copy(mut from: File, into: &mut File, report: &mut (dyn FnMut(u64, u64) + Send)) -> Result<String> {
    let length = from.metadata()?.len();
    let (mut buffer, mut done, mut hash) = (vec![0; 1 << 16], 0, Sha256::new());
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(hexadecimal(&hash.finalize()));
        }
        done += read as u64;
        hash.update(&buffer[..read]);
        into.write_all(&buffer[..read]).context("could not copy the archive")?;
        report(done, length);
    }
}

fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
