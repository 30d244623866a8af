//! One page, read: what is on it, and where it leads.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ahash::RandomState;
use parallel_workers::{Context, Processor};
use serde::{Deserialize, Serialize};

use crate::resolve::{Target, decode_fragment, is_top, resolve};
use crate::scan::{Buffers, Findings, scan};

/// A file of the folder, named from its root, with slashes.
pub(crate) type PagePath = Arc<str>;

/// What became of a page.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Page {
    Html(Html),
    /// A file that nothing can be linked to on: a picture, a style sheet.
    File,
    /// It is not a page itself, but stands for its `index.html`.
    Folder,
    Missing,
    /// Why, in words: an `io::ErrorKind` cannot be sent.
    Unreadable(Box<str>),
}

/// A page that was read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Html {
    /// Hashes of the names of its anchors, sorted.
    anchors: Box<[u64]>,
    /// It has anchors `1`, `2` and so on up to this: source code, by the line.
    lines: u32,
    /// Where it sends whoever comes to it.
    pub(crate) redirect: Option<PagePath>,
    pub(crate) bytes: u64,
    /// How many links it has, and how many of these lead elsewhere.
    pub(crate) links: u64,
    pub(crate) external: u64,
    /// Taken by whoever follows them.
    outgoing: Mutex<Option<Outgoing>>,
    #[serde(skip)]
    is_followed: AtomicBool,
}

/// The links of a page to files of its folder, each once, those to one file together.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    pub(crate) targets: Vec<(PagePath, Vec<Link>)>,
    /// Links that lead out of the folder.
    pub(crate) outside: Vec<String>,
    /// Links to other sites that are to be fetched.
    pub(crate) fetched: Vec<Box<str>>,
}

/// One of them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Link {
    /// As it stands on the page.
    pub(crate) href: Box<str>,
    fragment: Fragment,
}

/// Which place on a page is meant.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Fragment {
    Top,
    /// Lines of source code, which rustdoc's script marks. The same could be the name of an anchor.
    Lines(u32, u32, u64),
    /// The hash of an anchor's name: decoded, and as it stands.
    Anchor(u64, u64),
}

impl Html {
    /// The page's links, to whoever asks first.
    pub(crate) fn take_links(&self) -> Option<Outgoing> {
        self.is_followed.store(true, Ordering::Relaxed);
        self.outgoing
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .take()
    }

    /// Whether somebody has taken them.
    pub(crate) fn is_followed(&self) -> bool {
        self.is_followed.load(Ordering::Relaxed)
    }

    /// Whether the place that a link means is on this page.
    pub(crate) fn has(&self, link: &Link) -> bool {
        let has = |hash: u64| self.anchors.binary_search(&hash).is_ok();
        match link.fragment {
            Fragment::Top => true,
            Fragment::Lines(first, last, name) => {
                (1 <= first && first <= last && last <= self.lines) || has(name)
            }
            Fragment::Anchor(decoded, raw) => has(decoded) || has(raw),
        }
    }
}

/// What is read, and what is looked for there: the same for all workers.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) root: PathBuf,
    pub(crate) has_fragments: bool,
    /// How links to other sites begin that are to be fetched.
    pub(crate) prefix: Option<String>,
}

/// Reads pages. Each worker has one, with buffers of its own.
#[derive(Debug)]
pub(crate) struct Reader {
    scope: Scope,
    html: Vec<u8>,
    buffers: Buffers,
    found: Found,
    /// One copy of each path, for all pages that link to it.
    paths: HashMap<String, PagePath, RandomState>,
}

impl Reader {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            html: Vec::new(),
            buffers: Buffers::default(),
            found: Found::default(),
            paths: HashMap::default(),
        }
    }

    fn read(&mut self, path: &str) -> io::Result<Page> {
        let file = self.scope.root.join(path);
        if !has_html_name(path) {
            let is_folder = fs::metadata(file)?.is_dir();
            return Ok(if is_folder { Page::Folder } else { Page::File });
        }
        let mut opened = File::open(&file)?;
        self.html.clear();
        match opened.read_to_end(&mut self.html) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(Page::Folder),
            Err(error) => return Err(error),
        }
        self.found.clear();
        scan(&self.html, &mut self.buffers, &mut self.found);
        Ok(Page::Html(self.page(path)))
    }

    fn page(&mut self, path: &str) -> Html {
        let (outgoing, external) = self.outgoing(path);
        let found = &mut self.found;
        let base = found.base.as_deref();
        let redirect = match found
            .redirect
            .as_deref()
            .map(|href| resolve(path, base, href))
        {
            Some(Target::Inside { path, .. }) => Some(intern(&mut self.paths, path)),
            _ => None,
        };
        found.anchors.sort_unstable();
        found.anchors.dedup();
        Html {
            anchors: found.anchors.as_slice().into(),
            lines: found.lines,
            redirect,
            bytes: self.html.len() as u64,
            links: found.uses,
            external,
            outgoing: Mutex::new(Some(outgoing)),
            is_followed: AtomicBool::new(false),
        }
    }

    /// The links that were found, by where they lead, and how many lead elsewhere.
    fn outgoing(&mut self, path: &str) -> (Outgoing, u64) {
        let mut outgoing = Outgoing::default();
        let mut external = 0;
        let mut places: HashMap<PagePath, usize, RandomState> = HashMap::default();
        let base = self.found.base.as_deref();
        for (start, end, uses) in &self.found.links {
            let href = &self.found.hrefs[*start..*end];
            let (target, fragment) = match resolve(path, base, href) {
                Target::Inside { path, fragment } => (intern(&mut self.paths, path), fragment),
                Target::Outside => {
                    outgoing.outside.push(text(href).into());
                    continue;
                }
                Target::External => {
                    external += uses;
                    let prefix = self.scope.prefix.as_deref().map(str::as_bytes);
                    if prefix.is_some_and(|prefix| href.trim_ascii().starts_with(prefix)) {
                        outgoing.fetched.push(text(href.trim_ascii()));
                    }
                    continue;
                }
            };
            let fragment = Fragment::of(fragment.filter(|_| self.scope.has_fragments));
            let place = *places.entry(Arc::clone(&target)).or_insert_with(|| {
                outgoing.targets.push((target, Vec::new()));
                outgoing.targets.len() - 1
            });
            let href = text(href);
            outgoing.targets[place].1.push(Link { href, fragment });
        }
        (outgoing, external)
    }
}

impl Processor for Reader {
    type Request = PagePath;
    type Output = Page;

    fn process(&mut self, path: &PagePath, _: &Context<'_>) -> Page {
        match self.read(path) {
            Ok(page) => page,
            Err(error) if is_missing(&error) => Page::Missing,
            Err(error) => Page::Unreadable(error.kind().to_string().into()),
        }
    }
}

impl Fragment {
    fn of(fragment: Option<&[u8]>) -> Self {
        let Some(fragment) = fragment.filter(|fragment| !is_top(fragment)) else {
            return Self::Top;
        };
        match lines(fragment) {
            Some((first, last)) => Self::Lines(first, last, hash(fragment)),
            None => Self::Anchor(hash(&decode_fragment(fragment)), hash(fragment)),
        }
    }
}

/// `12` or `12-15`.
fn lines(fragment: &[u8]) -> Option<(u32, u32)> {
    let fragment = std::str::from_utf8(fragment).ok()?;
    let (first, last) = fragment.split_once('-').unwrap_or((fragment, fragment));
    let number = |digits: &str| {
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        digits.parse().ok().filter(|_| is_plain)
    };
    Some((number(first)?, number(last)?))
}

/// What a scan has found.
#[derive(Debug, Default)]
struct Found {
    /// All different links, one after another.
    hrefs: Vec<u8>,
    /// Where each begins and ends, and how often it is used.
    links: Vec<(usize, usize, u64)>,
    /// Where in `links` a link with this hash is. Two different links of one page with the same 64 bits would be
    /// taken for one; that is less likely than a broken disk.
    known: HashMap<u64, usize, RandomState>,
    uses: u64,
    anchors: Vec<u64>,
    lines: u32,
    base: Option<Vec<u8>>,
    redirect: Option<Vec<u8>>,
}

impl Found {
    fn clear(&mut self) {
        self.hrefs.clear();
        self.links.clear();
        self.known.clear();
        self.anchors.clear();
        (self.uses, self.lines, self.base, self.redirect) = (0, 0, None, None);
    }
}

impl Findings for Found {
    fn link(&mut self, href: &[u8]) {
        self.uses += 1;
        let index = *self.known.entry(hash(href)).or_insert_with(|| {
            let start = self.hrefs.len();
            self.hrefs.extend_from_slice(href);
            self.links.push((start, self.hrefs.len(), 0));
            self.links.len() - 1
        });
        self.links[index].2 += 1;
    }

    fn anchor(&mut self, name: &[u8]) {
        match lines(name) {
            Some((line, _)) if line == self.lines + 1 && !name.contains(&b'-') => self.lines = line,
            _ => self.anchors.push(hash(name)),
        }
    }

    fn base(&mut self, href: &[u8]) {
        self.base.get_or_insert_with(|| href.to_vec());
    }

    fn redirect(&mut self, href: &[u8]) {
        self.redirect.get_or_insert_with(|| href.to_vec());
    }
}

/// The same for the same bytes on all workers and in all processes, for the seeds are fixed: one hashes a link, another the
/// anchor that it means.
fn hash(bytes: &[u8]) -> u64 {
    RandomState::with_seeds(1, 2, 3, 4).hash_one(bytes)
}

fn intern(paths: &mut HashMap<String, PagePath, RandomState>, path: String) -> PagePath {
    if let Some(known) = paths.get(&path) {
        return Arc::clone(known);
    }
    let shared = PagePath::from(path.as_str());
    paths.insert(path, Arc::clone(&shared));
    shared
}

fn text(href: &[u8]) -> Box<str> {
    String::from_utf8_lossy(href).into()
}

/// Whether the name is that of a page.
pub(crate) fn has_html_name(path: &str) -> bool {
    path.ends_with(".html") || path.ends_with(".htm")
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}
