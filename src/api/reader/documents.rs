//! Projects and jobs in GitLab's words, as far as its clients look at them. What Veritail does not know is `null`.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::database::Job;
use crate::store::database::listing::ListedProject;
use crate::trace::{JobId, JobStatus, ProjectId, Timestamp};

/// A project.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Project {
    /// Its number.
    id: ProjectId,
    /// The last part of its path.
    name: String,
    /// The same.
    path: String,
    /// Its path, with blanks around the slashes.
    name_with_namespace: String,
    /// Its path, such as `group/demo`.
    path_with_namespace: String,
    /// Always null.
    #[schema(required, nullable, value_type = Option<String>)]
    description: (),
    /// Always null: there is no repository here.
    #[schema(required, nullable, value_type = Option<String>)]
    default_branch: (),
    /// Always `private`: nothing is read without a token.
    visibility: &'static str,
    /// Always false.
    archived: bool,
    /// Always true.
    jobs_enabled: bool,
    /// When its first job was made, RFC 3339.
    #[schema(required, format = DateTime)]
    created_at: Option<String>,
    /// When its newest job was made, RFC 3339.
    #[schema(required, format = DateTime)]
    last_activity_at: Option<String>,
    /// Where this document is.
    web_url: String,
    /// What its path begins with.
    namespace: Namespace,
}

/// What a project's path begins with.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Namespace {
    /// The last part of its path.
    name: String,
    /// The same.
    path: String,
    /// Its whole path.
    full_path: String,
    /// Always `group`.
    kind: &'static str,
}

impl Project {
    /// The document of a project.
    pub(super) fn of(project: &ListedProject, base: &str) -> Self {
        let whole = project.path.as_str();
        let (namespace, name) = whole.rsplit_once('/').unwrap_or(("", whole));
        let last = namespace.rsplit('/').next().unwrap_or_default().to_owned();
        Self {
            id: project.id,
            name: name.to_owned(),
            path: name.to_owned(),
            name_with_namespace: whole.replace('/', " / "),
            path_with_namespace: whole.to_owned(),
            description: (),
            default_branch: (),
            visibility: "private",
            archived: false,
            jobs_enabled: true,
            created_at: project.first_job_at.map(Timestamp::to_rfc3339),
            last_activity_at: project.last_job_at.map(Timestamp::to_rfc3339),
            web_url: format!("{base}/api/v4/projects/{}", project.id),
            namespace: Namespace { name: last.clone(), path: last, full_path: namespace.to_owned(), kind: "group" },
        }
    }
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(in crate::api) struct JobDocument {
    /// Its number.
    id: JobId,
    /// Its name, such as `rspec`.
    name: String,
    /// Its status; a final one only after the whole trace is readable.
    status: JobStatus,
    /// Always `test`: Veritail knows of no other stages.
    stage: &'static str,
    /// Always null: what it was built from is not known here.
    #[schema(required, nullable, value_type = Option<String>)]
    r#ref: (),
    /// Always false.
    tag: bool,
    /// Always false.
    allow_failure: bool,
    /// Always null.
    #[schema(required, nullable, value_type = Option<f64>)]
    coverage: (),
    /// When it was made, RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// When a runner took it; for a job that nobody has to take, when it was made.
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    /// When its runner ended it; null while its status is not a final one.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// When its trace was erased.
    #[schema(required, format = DateTime)]
    erased_at: Option<String>,
    /// Seconds from start to finish.
    #[schema(required)]
    duration: Option<f64>,
    /// Seconds for which it waited.
    #[schema(required)]
    queued_duration: Option<f64>,
    /// Why it failed, in GitLab's words.
    #[schema(required)]
    failure_reason: Option<String>,
    /// Where its trace is.
    web_url: String,
    /// Its project.
    project: ProjectOfJob,
    /// Its pipeline: every job is one by itself.
    pipeline: Pipeline,
    /// Always null.
    #[schema(required, nullable, value_type = Option<Object>)]
    commit: (),
    /// Always null.
    #[schema(required, nullable, value_type = Option<Object>)]
    user: (),
    /// Always null.
    #[schema(required, nullable, value_type = Option<Object>)]
    runner: (),
    /// Always empty: Veritail keeps logs.
    #[schema(value_type = Vec<Object>)]
    artifacts: [(); 0],
    /// Always null.
    #[schema(required, nullable, value_type = Option<String>)]
    artifacts_expire_at: (),
    /// Always empty.
    #[schema(value_type = Vec<String>)]
    tag_list: [(); 0],
}

/// The project of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ProjectOfJob {
    /// Its number.
    id: ProjectId,
    /// Its path.
    path_with_namespace: String,
    /// Always false.
    ci_job_token_scope_enabled: bool,
}

/// A pipeline of one job.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Pipeline {
    /// The job's number.
    id: JobId,
    /// The same.
    iid: JobId,
    /// The project's number.
    project_id: ProjectId,
    /// The job's status.
    status: JobStatus,
    /// Always `api`.
    source: &'static str,
    /// Always null.
    #[schema(required, nullable, value_type = Option<String>)]
    r#ref: (),
    /// Always null.
    #[schema(required, nullable, value_type = Option<String>)]
    sha: (),
    /// Where the job's document is.
    web_url: String,
}

impl JobDocument {
    /// The document of a job.
    pub(super) fn of(job: &Job, base: &str) -> Self {
        let times = Times::of(job);
        let place = format!("{base}/api/v4/projects/{}/jobs/{}", job.project, job.id);
        Self {
            id: job.id,
            name: job.name.clone(),
            status: job.status,
            stage: "test",
            r#ref: (),
            tag: false,
            allow_failure: false,
            coverage: (),
            created_at: job.created_at.to_rfc3339(),
            started_at: times.started.map(Timestamp::to_rfc3339),
            finished_at: times.finished.map(Timestamp::to_rfc3339),
            erased_at: times.erased.map(Timestamp::to_rfc3339),
            duration: times.started.zip(times.finished).map(|(from, to)| seconds(from, to)),
            queued_duration: times.started.map(|started| seconds(job.created_at, started)),
            failure_reason: failure_reason(job),
            web_url: format!("{place}/trace"),
            project: ProjectOfJob {
                id: job.project,
                path_with_namespace: job.project_path.clone(),
                ci_job_token_scope_enabled: false,
            },
            pipeline: Pipeline {
                id: job.id,
                iid: job.id,
                project_id: job.project,
                status: job.status,
                source: "api",
                r#ref: (),
                sha: (),
                web_url: place,
            },
            commit: (),
            user: (),
            runner: (),
            artifacts: [],
            artifacts_expire_at: (),
            tag_list: [],
        }
    }
}

/// The moments of a job that readers may know of.
pub(in crate::api) struct Times {
    /// When a runner took it.
    pub(in crate::api) started: Option<Timestamp>,
    /// When it ended.
    pub(in crate::api) finished: Option<Timestamp>,
    /// When its trace was erased.
    pub(in crate::api) erased: Option<Timestamp>,
}

impl Times {
    /// The ending is known before the trace is proven; readers hear of it with the final status and not before.
    pub(in crate::api) fn of(job: &Job) -> Self {
        Self {
            started: job.started_at,
            finished: job.ended_at.filter(|_| job.status.is_final()),
            erased: job.erased.as_ref().map(|(at, _)| *at),
        }
    }
}

/// Why a job failed, once readers may know that it did.
pub(in crate::api) fn failure_reason(job: &Job) -> Option<String> {
    let ending = job.ending.as_ref().filter(|_| job.status == JobStatus::Failed)?;
    ending.failure_reason.clone()
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    // A job is not as long as a float is exact: 2^53 milliseconds are 285,000 years.
    to.ms_since(from) as f64 / 1000.0
}
