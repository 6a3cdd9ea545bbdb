//! Which combinations of label values there are, where not all make sense.
//!
//! What is listed here is all that there can be: whatever else happens is counted under the nearest of these, so that
//! no client and no fault can make more series.

use super::labels::{Answer, Dependency, Method, Route, Status, StoreOperation};

/// What a route is asked with, and what it answers. The last method is for all others.
fn of_route(route: Route) -> (&'static [Method], &'static [Status]) {
    use Method::{Delete, Get, Head, Other, Patch, Post, Put};
    match route {
        Route::Append => (
            &[Patch],
            &[
                Status::Accepted,
                Status::BadRequest,
                Status::Forbidden,
                Status::RequestTimeout,
                Status::TooLarge,
                Status::RangeNotSatisfiable,
                Status::TooMany,
                Status::InternalError,
                Status::Unavailable,
                Status::Other,
            ],
        ),
        Route::Finalize => (
            &[Put],
            &[
                Status::Ok,
                Status::Accepted,
                Status::BadRequest,
                Status::Forbidden,
                Status::RequestTimeout,
                Status::PreconditionFailed,
                Status::TooLarge,
                Status::TooMany,
                Status::InternalError,
                Status::Unavailable,
                Status::Other,
            ],
        ),
        Route::Read => (
            &[Get, Head],
            &[
                Status::Ok,
                Status::PartialContent,
                Status::NotModified,
                Status::BadRequest,
                Status::Unauthorized,
                Status::Forbidden,
                Status::NotFound,
                Status::Gone,
                Status::PreconditionFailed,
                Status::RangeNotSatisfiable,
                Status::TooMany,
                Status::InternalError,
                Status::Unavailable,
                Status::Cut,
                Status::Damaged,
                Status::Other,
            ],
        ),
        Route::Other => (
            &[Get, Head, Post, Put, Patch, Delete, Other],
            &[
                Status::Ok,
                Status::Created,
                Status::NoContent,
                Status::BadRequest,
                Status::Unauthorized,
                Status::Forbidden,
                Status::NotFound,
                Status::MethodNotAllowed,
                Status::Conflict,
                Status::TooMany,
                Status::InternalError,
                Status::Unavailable,
                Status::Other,
            ],
        ),
    }
}

/// Route, method and status of every request that is counted.
pub fn requests() -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for route in Route::ALL {
        let (methods, statuses) = of_route(*route);
        for method in methods {
            all.extend(statuses.iter().map(|status| vec![route.as_str(), method.as_str(), status.as_str()]));
        }
    }
    all
}

/// The combination that a request counts under.
pub(super) fn request(route: Route, method: Method, status: Status) -> (Route, Method, Status) {
    let (methods, statuses) = of_route(route);
    let nearest = methods.iter().copied().find(|known| *known == method);
    let status = if statuses.contains(&status) { status } else { Status::Other };
    match nearest.or(methods.last().copied()) {
        Some(method) => (route, method, status),
        None => (Route::Other, Method::Other, status),
    }
}

/// What each dependency is asked.
fn of_dependency(dependency: Dependency) -> &'static [StoreOperation] {
    use StoreOperation::{
        Append, Change, Delete, Get, List, Load, Other, Ping, Present, Put, Query, ReadChunk, ReadOpen, Release,
        Replace, Scan, SetStatus, Usage, Watch,
    };
    match dependency {
        Dependency::Redis | Dependency::Embedded => {
            &[Load, Append, Replace, SetStatus, Watch, ReadChunk, ReadOpen, Present, Release, Scan, Usage, Ping]
        }
        Dependency::Database => &[Query, Change, Ping],
        Dependency::ObjectStore => &[Put, Get, Delete, List, Ping, Other],
    }
}

/// The operation that a call counts under.
pub(super) fn operation(dependency: Dependency, operation: StoreOperation) -> StoreOperation {
    let known = of_dependency(dependency);
    if known.contains(&operation) { operation } else { *known.last().unwrap_or(&operation) }
}

/// Dependency and operation of every call.
pub fn operations() -> Vec<Vec<&'static str>> {
    let pairs = Dependency::ALL.iter().flat_map(|dependency| {
        of_dependency(*dependency).iter().map(|operation| vec![dependency.as_str(), operation.as_str()])
    });
    pairs.collect()
}

/// Operation and result of every call of a dependency. What takes too long is given up inside the store and is an error
/// there; only a ping is given up from outside.
pub(super) fn calls_of(dependency: Dependency) -> impl Iterator<Item = (StoreOperation, Answer)> {
    let pairs =
        of_dependency(dependency).iter().flat_map(|asked| Answer::ALL.iter().map(move |answer| (*asked, *answer)));
    pairs.filter(|(asked, answer)| *answer != Answer::Timeout || *asked == StoreOperation::Ping)
}

/// The same of all, with the dependency.
pub fn calls() -> Vec<Vec<&'static str>> {
    let of = |dependency: Dependency| {
        calls_of(dependency).map(move |(asked, answer)| vec![dependency.as_str(), asked.as_str(), answer.as_str()])
    };
    Dependency::ALL.iter().flat_map(|dependency| of(*dependency)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_counts_under_a_combination_that_is_listed() {
        let requests = requests();
        for route in Route::ALL {
            for method in Method::ALL {
                for status in Status::ALL {
                    let (a, b, c) = request(*route, *method, *status);
                    let known = vec![a.as_str(), b.as_str(), c.as_str()];
                    assert!(requests.contains(&known), "{route} {method} {status}: {known:?}");
                }
            }
        }
        let calls = calls();
        for dependency in Dependency::ALL {
            for asked in StoreOperation::ALL {
                let counted = operation(*dependency, *asked);
                let known = vec![dependency.as_str(), counted.as_str(), Answer::Ok.as_str()];
                assert!(calls.contains(&known), "{dependency} {asked}: {known:?}");
            }
        }
    }

    #[test]
    fn whatever_is_asked_counts_as_itself_somewhere() {
        for asked in StoreOperation::ALL {
            let of = |dependency: &&Dependency| of_dependency(**dependency).contains(asked);
            assert!(Dependency::ALL.iter().any(|dependency| of(&dependency)), "{asked}");
        }
    }

    #[test]
    fn what_is_listed_counts_as_what_it_is() {
        assert_eq!(
            request(Route::Append, Method::Patch, Status::Unavailable),
            (Route::Append, Method::Patch, Status::Unavailable)
        );
        assert_eq!(request(Route::Read, Method::Head, Status::Created), (Route::Read, Method::Head, Status::Other));
        assert_eq!(operation(Dependency::ObjectStore, StoreOperation::Put), StoreOperation::Put);
        assert_eq!(operation(Dependency::ObjectStore, StoreOperation::Usage), StoreOperation::Other);
    }
}
