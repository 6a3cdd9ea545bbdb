//! Lists out of the database in memory.

use async_trait::async_trait;
use veritail::store::Result;
use veritail::store::database::Job;
use veritail::store::database::drills::CANARY_PROJECT;
use veritail::store::database::listing::{
    COUNTED_MAX, JobFilter, Listed, ListedProject, Listing, Page, ProjectFilter, ProjectName,
};
use veritail::trace::{ProjectId, Timestamp};

use super::database::{ModelDatabase, Tables};

#[async_trait]
impl Listing for ModelDatabase {
    async fn project(&self, name: &ProjectName) -> Result<Option<ListedProject>> {
        let tables = self.tables();
        let is_named = |project: &ListedProject| match name {
            ProjectName::Id(id) => project.id == *id,
            ProjectName::Path(path) => project.path == *path,
        };
        Ok(all_projects(&tables).find(is_named))
    }

    async fn projects(&self, filter: &ProjectFilter, page: Page) -> Result<Listed<ListedProject>> {
        let search = filter.search.as_ref().map(|search| search.to_ascii_lowercase());
        let is_listed = |project: &ListedProject| {
            let is_asked_for = filter.among.is_some() || search.is_some();
            (is_asked_for || project.path != CANARY_PROJECT)
                && filter.among.as_ref().is_none_or(|among| among.contains(&project.id))
                && search.as_ref().is_none_or(|search| project.path.to_ascii_lowercase().contains(search))
        };
        let tables = self.tables();
        Ok(page_of(all_projects(&tables).filter(is_listed).collect(), page, |project| project.id.0))
    }

    async fn jobs(&self, filter: &JobFilter, page: Page) -> Result<Listed<Job>> {
        let is_listed = |job: &&Job| {
            job.project == filter.project
                && filter.statuses.as_ref().is_none_or(|statuses| statuses.contains(&job.status))
        };
        let jobs = self.tables().jobs.values().filter(is_listed).cloned().collect();
        Ok(page_of(jobs, page, |job| job.id.0))
    }
}

fn all_projects(tables: &Tables) -> impl Iterator<Item = ListedProject> {
    tables.projects.iter().enumerate().map(|(position, path)| {
        let id = ProjectId(position as i64 + 1);
        let mut made = tables.jobs.values().filter(|job| job.project == id).map(|job| job.created_at);
        let first_job_at: Option<Timestamp> = made.next();
        ListedProject { id, path: path.clone(), first_job_at, last_job_at: made.next_back().or(first_job_at) }
    })
}

/// A page out of everything, in order of number.
fn page_of<T>(mut all: Vec<T>, page: Page, number: impl Fn(&T) -> i64) -> Listed<T> {
    let total = Some(all.len() as u64).filter(|total| page.counts() && *total <= COUNTED_MAX);
    if page.newest_first {
        all.reverse();
    }
    let (skipped, behind) = page.bounds();
    let follows = |item: &T| {
        behind.is_none_or(|behind| if page.newest_first { number(item) < behind } else { number(item) > behind })
    };
    let items = all.into_iter().filter(follows).skip(usize::try_from(skipped).unwrap_or(usize::MAX));
    Listed::of(items.take(page.size as usize + 1).collect(), page, total)
}
