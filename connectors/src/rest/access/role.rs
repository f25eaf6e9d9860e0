//! Roles of keys, and what routes ask for.

use serde::{Deserialize, Serialize};

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sends messages, and fetches the feedback for the twins that it sends for.
    Ingest,
    /// Looks at everything and changes nothing.
    Read,
    /// Reads; pauses, resumes, creates and removes twins, replays dead letters.
    Operate,
    /// Everything.
    Admin,
}

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing, not even a key.
    Open,
    /// To send messages.
    Send,
    /// To look.
    Read,
    /// To change what runs.
    Operate,
    /// To change who and what may connect.
    Admin,
}

/// What a route's path names; a key that is bound to models or twins may use nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Neither a model nor a twin: a bound key may not use it.
    Server,
    /// `{model}`, with all its twins: a key bound to twins may not use it.
    Model,
    /// `{model}` and `{id}`.
    Twin,
    /// The body names them, and who reads the body checks them.
    Body,
}

/// One line of a table of routes.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// `GET` counts for `HEAD` too.
    pub method: &'static str,
    /// The path as the router has it.
    pub path: &'static str,
    /// What it asks for.
    pub need: Need,
    /// What it names.
    pub names: Names,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Read, Self::Operate, Self::Admin];

    /// Whether a key with this role may use a route.
    pub fn may(self, need: Need) -> bool {
        match need {
            Need::Open => true,
            Need::Send => matches!(self, Self::Ingest | Self::Admin),
            Need::Read => matches!(self, Self::Read | Self::Operate | Self::Admin),
            Need::Operate => matches!(self, Self::Operate | Self::Admin),
            Need::Admin => matches!(self, Self::Admin),
        }
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl Need {
    /// Whether a use of the route stands in the audit log.
    pub fn is_audited(self) -> bool {
        matches!(self, Self::Operate | Self::Admin)
    }

    /// The least role that may, for a sentence.
    pub(super) fn role(self) -> &'static str {
        match self {
            Self::Open => "any",
            Self::Send => "ingest",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_does_not_send_and_who_sends_does_not_look() {
        use Need as N;
        let all = [N::Open, N::Send, N::Read, N::Operate, N::Admin];
        let may = |role: Role| all.map(|need| role.may(need));
        assert_eq!(may(Role::Ingest), [true, true, false, false, false]);
        assert_eq!(may(Role::Read), [true, false, true, false, false]);
        assert_eq!(may(Role::Operate), [true, false, true, true, false]);
        assert_eq!(may(Role::Admin), [true; 5]);
        assert_eq!(all.map(N::is_audited), [false, false, false, true, true]);
    }
}
