//! The check of one folder: every page is read once, and every link of it is looked up.
//!
//! The folder's pages are queued as they are found, and so is whatever a page links to, by whoever links to it.
//! Nobody keeps track of what is known: with `Share::WhileHeld` an equal request shares the run of the first, for as
//! long as a promise of it is held, and all are held until the end.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use parallel_workers::{
    Processor, ProcessorService, ProcessorServiceBuilder, Promise, PromiseSet, Share,
};

use crate::cluster;
use crate::external::{Fetching, Terms, Unreachable};
use crate::page::{Html, Link, Page, PagePath, Reader, Scope, has_html_name};
use crate::processes;

type PagePromise = Promise<PagePath, Page>;

/// What to check, and how.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) root: PathBuf,
    pub(crate) has_fragments: bool,
    pub(crate) workers: usize,
    pub(crate) readers: Readers,
    /// Which links to other sites are fetched, and how.
    pub(crate) external: Option<Terms>,
}

/// Where pages are read.
#[derive(Clone, Debug)]
pub(crate) enum Readers {
    Threads,
    Processes,
    /// On whatever machines serve through these servers.
    Cluster(String),
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) broken: Vec<Broken>,
    pub(crate) pages: u64,
    pub(crate) links: u64,
    pub(crate) external: u64,
    /// Addresses of other sites.
    pub(crate) fetched: u64,
    pub(crate) bytes: u64,
    pub(crate) queued: u64,
    pub(crate) shared: u64,
    pub(crate) elapsed: Duration,
}

/// A link that leads nowhere.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Broken {
    pub(crate) page: String,
    pub(crate) link: String,
    pub(crate) why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    NoSuchFile,
    NoSuchAnchor,
    OutsideTheFolder,
    Unreadable(Box<str>),
    Unreachable(Unreachable),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchFile => f.write_str("no such file"),
            Self::NoSuchAnchor => f.write_str("no such anchor"),
            Self::OutsideTheFolder => f.write_str("outside the folder"),
            Self::Unreadable(why) => write!(f, "unreadable: {why}"),
            Self::Unreachable(why) => why.fmt(f),
        }
    }
}

/// Links of one page to another that had not been read when they were found.
struct Waiting {
    from: Rc<str>,
    to: PagePromise,
    links: Vec<Link>,
}

/// A check that goes on.
struct Check<'a, P: Processor> {
    service: &'a ProcessorService<P>,
    pages: PromiseSet<PagePath, Page>,
    /// Holds every page, so that it is read once.
    held: Vec<PagePromise>,
    waiting: Vec<Waiting>,
    fetching: Option<Fetching>,
    report: Report,
}

/// Checks a folder.
pub(crate) fn check(job: &Job, bar: &ProgressBar) -> Result<Report, Box<dyn std::error::Error>> {
    let begin = Instant::now();
    let scope = job.scope();
    match &job.readers {
        Readers::Threads => {
            let service = builder(job).start(move || Reader::new(scope.clone()))?;
            check_with(&service, job, bar, begin)
        }
        Readers::Processes => {
            let service = processes::start(builder(job), scope)?;
            check_with(&service, job, bar, begin)
        }
        Readers::Cluster(servers) => {
            let service = cluster::start(builder(job), servers, &scope)?;
            check_with(&service, job, bar, begin)
        }
    }
}

impl Job {
    /// What whoever reads its pages has to know.
    pub(crate) fn scope(&self) -> Scope {
        Scope {
            root: self.root.clone(),
            has_fragments: self.has_fragments,
            prefix: self.external.as_ref().map(|terms| terms.prefix.clone()),
        }
    }
}

fn builder<P: Processor>(job: &Job) -> ProcessorServiceBuilder<P> {
    ProcessorService::builder()
        .name("reader")
        .workers(job.workers)
        .share(Share::WhileHeld)
}

/// The same, whoever reads the pages.
fn check_with<P: Processor<Request = PagePath, Output = Page>>(
    service: &ProcessorService<P>,
    job: &Job,
    bar: &ProgressBar,
    begin: Instant,
) -> Result<Report, Box<dyn std::error::Error>> {
    let fetching = job.external.as_ref().map(Fetching::start).transpose()?;
    let mut check = Check {
        service,
        pages: PromiseSet::new(),
        held: Vec::new(),
        waiting: Vec::new(),
        fetching,
        report: Report::default(),
    };
    check.queue_folder(&job.root, "")?;
    check.follow_links(bar)?;
    check.look_up_the_rest()?;
    check.wait_for_fetches()?;
    let Check { mut report, .. } = check;
    report.broken.sort_unstable();
    let status = service.status();
    report.shared = status.coalesced;
    report.queued = status.settled.total() + status.coalesced;
    report.elapsed = begin.elapsed();
    Ok(report)
}

impl<P: Processor<Request = PagePath, Output = Page>> Check<'_, P> {
    /// Queues every page of a folder and of those in it.
    fn queue_folder(&mut self, folder: &Path, path: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}/{name}")
            };
            if entry.file_type()?.is_dir() {
                self.queue_folder(&entry.path(), &path)?;
            } else if has_html_name(name) {
                self.pages.insert(self.service.queue_request(path.into()));
            }
        }
        Ok(())
    }

    /// Goes through the pages as they have been read, and queues what they link to.
    fn follow_links(&mut self, bar: &ProgressBar) -> Result<(), Box<dyn std::error::Error>> {
        while let Some(promise) = self.pages.select_next() {
            // Two pages that link to a third before it is read bring it twice; its links are there once.
            let Page::Html(html) = promise.wait()? else {
                self.held.push(promise);
                continue;
            };
            let Some(outgoing) = html.take_links() else {
                continue;
            };
            self.count(html);
            bar.set_length(self.report.pages + self.pages.len() as u64);
            bar.set_position(self.report.pages);
            let from: Rc<str> = promise.request().as_ref().into();
            for link in outgoing.outside {
                self.broken(&from, &link, Why::OutsideTheFolder);
            }
            if let Some(fetching) = &mut self.fetching {
                outgoing
                    .fetched
                    .into_iter()
                    .for_each(|link| fetching.queue(&from, link));
            }
            for (path, links) in outgoing.targets {
                self.follow(&from, path, links)?;
            }
            self.held.push(promise);
        }
        Ok(())
    }

    fn follow(
        &mut self,
        from: &Rc<str>,
        path: PagePath,
        links: Vec<Link>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let target = self.service.queue_request(path);
        match target.try_result() {
            // Most links lead to few pages, which have been read.
            Some(Ok(Page::Html(html))) if html.is_followed() && html.redirect.is_none() => {
                links
                    .iter()
                    .filter(|link| !html.has(link))
                    .for_each(|link| {
                        self.broken(from, &link.href, Why::NoSuchAnchor);
                    });
            }
            _ => {
                self.pages.insert(target.clone());
                self.waiting.push(Waiting {
                    from: Rc::clone(from),
                    to: target,
                    links,
                });
            }
        }
        Ok(())
    }

    /// Looks up the links to pages that had not been read when they were found.
    fn look_up_the_rest(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        for Waiting { from, to, links } in std::mem::take(&mut self.waiting) {
            for link in &links {
                if let Some(why) = self.look_up(to.clone(), link)? {
                    self.broken(&from, &link.href, why);
                }
            }
        }
        Ok(())
    }

    fn wait_for_fetches(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        if let Some(fetching) = self.fetching.take() {
            let (fetched, dead) = fetching.finish()?;
            self.report.fetched = fetched;
            for (page, link, why) in dead {
                self.broken(&page, &link, Why::Unreachable(why));
            }
        }
        Ok(())
    }

    /// Why a link is broken. What stands for another page is followed there: a folder to its index, a page that only
    /// sends on to where it sends, for a browser takes the fragment along.
    fn look_up(
        &self,
        mut page: PagePromise,
        link: &Link,
    ) -> Result<Option<Why>, Box<dyn std::error::Error>> {
        for _ in 0..8 {
            let next = match page.wait()? {
                Page::Html(html) if html.has(link) => return Ok(None),
                Page::Html(Html {
                    redirect: Some(next),
                    ..
                }) => next.clone(),
                Page::Html(_) => return Ok(Some(Why::NoSuchAnchor)),
                Page::Folder => format!("{}/index.html", page.request()).into(),
                Page::File => return Ok(None),
                Page::Missing => return Ok(Some(Why::NoSuchFile)),
                Page::Unreadable(why) => return Ok(Some(Why::Unreadable(why.clone()))),
            };
            // Read before, as a rule: then this shares the run.
            page = self.service.queue_request(next);
        }
        Ok(Some(Why::NoSuchAnchor))
    }

    fn count(&mut self, html: &Html) {
        self.report.pages += 1;
        self.report.links += html.links;
        self.report.external += html.external;
        self.report.bytes += html.bytes;
    }

    fn broken(&mut self, page: &str, link: &str, why: Why) {
        self.report.broken.push(Broken {
            page: page.to_owned(),
            link: link.to_owned(),
            why,
        });
    }
}
