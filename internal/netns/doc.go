// Package netns tells what can be seen of a network namespace by the path that the runtime gave for it.
//
// An address must not be given again while the container that has it may be alive, so only what proves that a
// namespace is gone counts as [Gone]; whatever can have another reason is [Unseen]. The caller must share its view of
// /proc and /run with whoever recorded the path: in a container of its own, another file system would be looked at.
//
// Nothing is opened and no namespace entered: a few stat calls each, and no state.
package netns
