//! What passes between parent and child: a socket that is the child's standard input.
//!
//! The parent sends the length of a JSON object (u32, little endian), the object, and then for each
//! listener one byte that carries its descriptor. The child sends its reports, one byte each.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Longest object that a child reads.
const OBJECT_BYTES_MAX: u32 = 1 << 20;

/// A listener of the server; the name is that of its connection, empty for the API.
pub(crate) type Listener = (String, TcpListener);

/// What a child starts with.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// Bound by the parent.
    pub(crate) listeners: Vec<Listener>,
    /// See the parent's history.
    pub(crate) note: Note,
}

/// The words of the hand-over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Version of the parent: a child of another one cannot be sure to understand it.
    pub(crate) version: String,
    /// Process id of the parent.
    pub(crate) parent: u32,
    /// One message per link and epoch, and a note before each call.
    pub(crate) careful: bool,
    /// How the child before ended, if what its note names is behind that.
    pub(crate) suspect: Option<String>,
    /// Names of the listeners that follow.
    pub(super) listeners: Vec<String>,
}

/// Sends everything to a child that was just started.
pub(super) fn send(mut to: &UnixStream, note: &Note, listeners: &[Listener]) -> io::Result<()> {
    let names = listeners.iter().map(|(name, _)| name.clone()).collect();
    let text = serde_json::to_vec(&Note { listeners: names, ..note.clone() })?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_le_bytes()[..], &text].concat())?;
    for (_, listener) in listeners {
        let descriptors = [listener.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fits = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "there is room for one descriptor");
        sendmsg(to, &[IoSlice::new(b"l")], &mut ancillary, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives what [`send`] sent.
pub(super) fn receive(mut from: &UnixStream) -> io::Result<Inherited> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > OBJECT_BYTES_MAX {
        return Err(io::Error::other("this is not what a parent sends"));
    }
    let mut text = vec![0; length as usize];
    from.read_exact(&mut text)?;
    let mut note: Note = parse(&text)?;
    let names = std::mem::take(&mut note.listeners);
    let listeners = names.into_iter().map(|name| Ok((name, TcpListener::from(descriptor(from)?))));
    Ok(Inherited { listeners: listeners.collect::<io::Result<_>>()?, note })
}

fn parse(text: &[u8]) -> io::Result<Note> {
    Ok(serde_json::from_slice(text)?)
}

/// The words of a hand-over as a target.
#[cfg(feature = "testing")]
pub(crate) const TARGET: twinflow_operators::fuzz::Target = twinflow_operators::fuzz::Target {
    name: "hand_over",
    files: &["src/supervisor/hand_over.rs"],
    run: |bytes| drop(parse(bytes).ok()),
    seeds: || {
        let note =
            Note { listeners: vec!["web".into()], suspect: Some("a".into()), ..Note::default() };
        vec![serde_json::to_vec(&note).expect("a note is JSON")]
    },
};

/// One byte and the descriptor that it carries.
fn descriptor(from: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)?;
    let mut received = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.next().ok_or_else(|| io::Error::other("a listener did not come along"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_and_words_arrive() {
        let (parent, child) = UnixStream::pair().unwrap();
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let sent = [(String::new(), listener()), ("web".to_owned(), listener())];
        let note = Note { careful: true, suspect: Some("signal 6".into()), ..Note::default() };
        send(&parent, &note, &sent).unwrap();
        let received = receive(&child).unwrap();
        assert_eq!(received.note, note);
        let addresses = |all: &[Listener]| {
            all.iter()
                .map(|(name, it)| (name.clone(), it.local_addr().unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(addresses(&received.listeners), addresses(&sent));
    }

    #[test]
    fn garbage_and_an_early_end_are_errors() {
        let (mut parent, child) = UnixStream::pair().unwrap();
        parent.write_all(b"not a length").unwrap();
        assert!(receive(&child).is_err());
        drop(parent);
        assert!(receive(&child).is_err());
    }
}
