// Package agent sends what is appended to log files to streams. It reads the
// configuration file of the Amazon Kinesis Agent and does that program's work.
//
// A flow is a pattern of file names and the stream that their records go to. Per
// flow one goroutine, the tailer, owns everything: the sources, the buffer, the
// batch under way. Senders take batches from it and give them back when all their
// records are taken; nothing is shared between the two but these batches.
//
//	directory --scan--> sources --read, split, convert--> batch --senders--> stream
//	                       ^                                         |
//	                       +------ committed offsets <--- spans <----+
//
// A source is not a file but a content that grows: bytes that are read in order
// and may change their file. It knows the first bytes that it read (the head) and
// the last (the trail), and each read begins in the trail, so that a file that was
// truncated and filled again between two looks is told from one that grew. Rotation
// is then no matter of guessing by sizes and times:
//
//   - rename: the content keeps its file (device and inode), and gets another name.
//     Under a name that the pattern does not match, it is read until it rests.
//   - create: a new file is a new source; the old one is read to its end.
//   - copy and truncate: the file shrinks, or no longer has the trail where it was.
//     The content moves to the file that has head and trail where they belong, and
//     goes on there; the name gets a new source that begins at 0. If no file has it,
//     what was not read yet is lost, which is said.
//   - copy: a file that has all that a source has, byte by byte, is a copy, and is not
//     read, until the source loses its file to it. In doubt it is read.
//
// An offset is committed when all records before it are taken by the stream or are
// not to be sent. Spans, the pieces of sources that a batch has, come back in any
// order and are committed in the order of the content. Committed offsets are stored
// twice a second, whole, with a hash of all before them, and of head and trail; a crash sends again what was
// taken since. A start finds each content by its file, then its name, then by looking
// into every file of the directory, so that checkpoints survive a reboot that numbers
// devices anew.
//
// Memory is bounded: a buffer and a few batches a flow. When a stream takes nothing,
// reading stops, files are kept open so that deleting them loses nothing, and the
// rest goes on.
//
// The package knows no service: [Destination] and [Meter] are all it asks of one.
// It stands beside the storage engines, on vfs alone, because nothing of a server is
// in it: the command line is its only user.
package agent
