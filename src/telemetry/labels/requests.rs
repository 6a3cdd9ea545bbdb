//! What a request is for, how it is made, and how it is answered.

use crate::trace::state::names;

names! {
    /// What a request is for.
    Route {
        /// A runner's PATCH.
        Append = "append",
        /// A runner's PUT.
        Finalize = "finalize",
        /// Reading a trace.
        Read = "read",
        /// Anything else.
        Other = "other",
    }
}

names! {
    /// A request's method.
    Method {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
        /// DELETE.
        Delete = "DELETE",
        /// Anything else that a client came up with.
        Other = "other",
    }
}

names! {
    /// The status codes that are answered, and how a log ended that could not be read whole.
    Status {
        /// 200.
        Ok = "200",
        /// 201.
        Created = "201",
        /// 202.
        Accepted = "202",
        /// 204.
        NoContent = "204",
        /// 206.
        PartialContent = "206",
        /// 304.
        NotModified = "304",
        /// 400.
        BadRequest = "400",
        /// 401.
        Unauthorized = "401",
        /// 403.
        Forbidden = "403",
        /// 404.
        NotFound = "404",
        /// 405.
        MethodNotAllowed = "405",
        /// 408.
        RequestTimeout = "408",
        /// 409.
        Conflict = "409",
        /// 410.
        Gone = "410",
        /// 412.
        PreconditionFailed = "412",
        /// 413.
        TooLarge = "413",
        /// 415.
        UnsupportedMediaType = "415",
        /// 416.
        RangeNotSatisfiable = "416",
        /// 422.
        Unprocessable = "422",
        /// 429.
        TooMany = "429",
        /// 500.
        InternalError = "500",
        /// 503.
        Unavailable = "503",
        /// A log broke off: a store could not be asked.
        Cut = "cut",
        /// A log broke off or was refused: its bytes are wrong or gone.
        Damaged = "damaged",
        /// Any other.
        Other = "other",
    }
}

impl Status {
    /// The value for a status code.
    pub fn of(code: u16) -> Self {
        let text = code.to_string();
        Self::ALL.iter().copied().find(|status| status.as_str() == text).unwrap_or(Self::Other)
    }
}

names! {
    /// The status codes that are answered, by their first digit.
    StatusClass {
        /// It was done.
        Done = "2xx",
        /// The client has it already.
        Known = "3xx",
        /// The client was refused.
        Refused = "4xx",
        /// The server could not do it.
        Failed = "5xx",
    }
}

impl StatusClass {
    /// The value for a status code.
    pub fn of(code: u16) -> Self {
        match code {
            0..300 => Self::Done,
            300..400 => Self::Known,
            400..500 => Self::Refused,
            _ => Self::Failed,
        }
    }
}
