//! What readers look for: projects by name, and lists of projects and jobs, page by page.
//!
//! Lists are in order of number, so that a page that follows another neither repeats nor leaves out what was there all the
//! time. A page is found by its number, as people leaf through, or by the number it goes on behind, which costs the same
//! however far in it lies.

use async_trait::async_trait;

use super::Job;
use crate::store::Result;
use crate::trace::{JobStatus, ProjectId, Timestamp};

/// A project, as readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedProject {
    /// Its number.
    pub id: ProjectId,
    /// Its path, such as `group/demo`.
    pub path: String,
    /// When its first job was made; `None` while it has none.
    pub first_job_at: Option<Timestamp>,
    /// When its newest job was made.
    pub last_job_at: Option<Timestamp>,
}

/// How a project is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectName {
    /// By number.
    Id(ProjectId),
    /// By path.
    Path(String),
}

/// Which projects to list. The canary's is only among them where something of them is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectFilter {
    /// Only these; `None` = all.
    pub among: Option<Vec<ProjectId>>,
    /// Only those with this in their path, whatever the case of ASCII letters.
    pub search: Option<String>,
}

/// Which jobs of a project to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFilter {
    /// The project.
    pub project: ProjectId,
    /// Only those in one of these statuses; `None` = all.
    pub statuses: Option<Vec<JobStatus>>,
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it begins.
    pub start: PageStart,
    /// How many there are on it at most.
    pub size: u32,
    /// From the greatest number down, or from the smallest up.
    pub newest_first: bool,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// After this many others.
    Skip(u64),
    /// Behind this number in the order of the list; `None` = at its beginning.
    Behind(Option<i64>),
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// True if there is more behind it.
    pub more: bool,
    /// How many there are on all pages together; `None` when more than [`COUNTED_MAX`], or when the page was found by
    /// number: counting would cost more than the page.
    pub total: Option<u64>,
}

/// The longest list that is counted.
pub const COUNTED_MAX: u64 = 10_000;

/// The contract of whatever lists for readers. Nothing here changes anything.
#[async_trait]
pub trait Listing: Send + Sync {
    /// The project of that name, or `None`.
    async fn project(&self, name: &ProjectName) -> Result<Option<ListedProject>>;

    /// A page of projects, in order of number.
    async fn projects(&self, filter: &ProjectFilter, page: Page) -> Result<Listed<ListedProject>>;

    /// A page of a project's jobs, in order of number.
    async fn jobs(&self, filter: &JobFilter, page: Page) -> Result<Listed<Job>>;
}

impl<T> Listed<T> {
    /// A page out of one item more than fits on it.
    pub fn of(mut items: Vec<T>, page: Page, total: Option<u64>) -> Self {
        let more = items.len() > page.size as usize;
        items.truncate(page.size as usize);
        Self { items, more, total }
    }
}

impl Page {
    /// What is skipped, and the number that the page goes on behind.
    pub fn bounds(self) -> (u64, Option<i64>) {
        match self.start {
            PageStart::Skip(skipped) => (skipped, None),
            PageStart::Behind(number) => (0, number),
        }
    }

    /// True if the whole list is counted for this page.
    pub fn counts(self) -> bool {
        matches!(self.start, PageStart::Skip(_))
    }
}
