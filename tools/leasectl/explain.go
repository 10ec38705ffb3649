package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leaselog/leaselog/internal/printable"
	"github.com/leaselog/leaselog/journal"
	"github.com/leaselog/leaselog/journal/archive"
	"github.com/leaselog/leaselog/replay"
)

// explainAsked is the question of explain as understood.
type explainAsked struct {
	scope
	IP        string `json:"ip,omitempty"`
	Container string `json:"container,omitempty"`
	Pod       string `json:"pod,omitempty"`
	At        string `json:"at"`
}

// sentenceItem is one statement of an explanation.
type sentenceItem struct {
	Schema  string   `json:"schema"`
	Network string   `json:"network"`
	Node    string   `json:"node"`
	StoreID string   `json:"store_id"`
	Text    string   `json:"text"`
	Events  []uint64 `json:"events"` // that it rests on
	origin
}

// explained is what is said of one store.
type explained struct {
	s        *store
	said     []replay.Sentence
	h        *replay.History // nil if it can't be read
	evidence []eventItem

	state stateItem // of an address
	held  []whoItem

	about     uint64 // events about the owner
	refusals  uint64
	certainty replay.Certainty // of what is said of the owner
}

func (a *app) explainCommand() *cobra.Command {
	var q archive.Query
	cmd := &cobra.Command{
		Use:   "explain ADDRESS | --container ID | --pod NAMESPACE/NAME",
		Short: "Why an address is, or is not, available now; why an ADD was refused",
		Long: `Why an address is, or is not, available now, in sentences: who holds it and why still, or whether the next ADD
may give it and what comes before it in the order; what an ADD that requests it meets; which ADDs that requested
it were refused lately.

With --container or --pod: why ADDs of that container or pod were refused lately, and what happened since.
Refusals that repeat are not all recorded, and only those are that the addresses were the reason of (codes 100 to 102).

Each sentence names the events that it rests on; -o json has them under evidence. What the next ADD gets is said for
one that comes with the ranges of the newest one. Exit codes are those of who: with an address, 0 if it is held and
1 if not; else 0 if there are refusals and 1 if none is recorded.`,
		Example: `  leasectl explain 10.88.0.17
  leasectl explain --pod default/web-0`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeFirst(knownAddresses),
		RunE: func(_ *cobra.Command, args []string) error {
			given := len(args)
			for _, text := range []string{q.Container, q.Pod} {
				if text != "" {
					given++
				}
			}
			switch {
			case given != 1:
				return usagef("explain what? give one of ADDRESS, --container ID and --pod NAMESPACE/NAME")
			case q.Pod != "" && (strings.Count(q.Pod, "/") != 1 || strings.HasSuffix(q.Pod, "/")):
				return usagef("pod %q: want its namespace and name, such as default/web-0", q.Pod)
			case len(args) == 0:
				return a.explainOwner(q)
			}
			ip, err := parseAddr(args[0])
			if err != nil {
				return err
			}
			return a.explainAddress(ip)
		},
	}
	cmd.Flags().StringVar(&q.Container, "container", "", "the container with this `ID`, or the one whose ID begins so")
	cmd.Flags().StringVar(&q.Pod, "pod", "", "the pod of this `namespace/name`")
	return cmd
}

// explain asks all stores a question and leaves out those that can't be asked.
func (a *app) explain(ask func(*store) (*explained, error)) ([]*explained, error) {
	stores, err := a.stores()
	if err != nil {
		return nil, err
	}
	if len(stores) == 0 && !a.failed {
		return nil, a.noStore()
	}
	var all []*explained
	for _, s := range stores {
		x, err := ask(s)
		var usage *usageError
		switch {
		case errors.As(err, &usage):
			return nil, err
		case err != nil:
			a.fail(fmt.Errorf("%s: %w", s.title(), err))
		default:
			all = append(all, x)
		}
	}
	return all, nil
}

func (a *app) explainAddress(ip netip.Addr) error {
	ans := newAnswer("explain", explainAsked{scope: a.scope(), IP: ip.String(), At: stamp(a.now)})
	all, err := a.explain(func(s *store) (*explained, error) { return s.explainAddress(a, ans, ip) })
	if err != nil {
		return err
	}
	var held []whoItem
	var states []stateItem
	for _, x := range all {
		if len(all) > 1 && x.state.State == replay.StateNotOurs.String() {
			x.said = x.said[:min(len(x.said), 1)] // of another network, that is all there is to say
		}
		held, states = append(held, x.held...), append(states, x.state)
	}
	a.concludeWho(ans, held, states)
	ans.Answers = states
	return a.showExplained(ans, all)
}

// explainAddress answers for one store. What the address is, and how sure that is, is the answer to who holds it now.
func (s *store) explainAddress(a *app, ans *answer, ip netip.Addr) (*explained, error) {
	x := &explained{s: s}
	var err error
	if x.held, x.state, err = s.who(a, ans, ip, &moment{at: a.now, now: true}); err != nil {
		return nil, err
	}
	if s.broken != nil {
		x.say("The store can't be read: %v.", s.broken)
		return x, nil
	}
	past, err := s.past()
	if err != nil {
		return nil, err
	}
	refused, err := requestsOf(past, ip)
	if err != nil {
		return nil, err
	}
	return x, x.explain(past, []netip.Addr{ip}, func(e *replay.Explainer) ([]replay.Sentence, error) {
		said, err := e.Address(ip)
		if err != nil {
			return nil, err
		}
		said = slices.Clone(said)
		more, err := e.About(ip, refused)
		return append(said, more...), err
	})
}

// requestsOf collects the refusals of ADDs that requested the address. Behind damage, which the history tells of, it goes on.
func requestsOf(past *archive.Reader, ip netip.Addr) (*replay.Refused, error) {
	refused, last := &replay.Refused{}, journal.Seq(0)
	take := func(ev *journal.Event) {
		if ev.Kind == journal.KindRefuse && slices.Contains(ev.Requested, ip) {
			refused.Take(ev)
		}
	}
	for p, err := range past.Sparse([]netip.Addr{ip}, 0) {
		if err == nil {
			if p.Loss != nil {
				last = p.Loss.Last
			} else if last = p.Event.Seq; !p.Light {
				take(&p.Event)
			}
			continue
		}
		if !unreadable(err) {
			return nil, err
		}
		for p, err := range past.Pieces(last) {
			switch {
			case unreadable(err):
				return refused, nil
			case err != nil:
				return nil, err
			case p.Loss == nil:
				take(&p.Event)
			}
		}
	}
	return refused, nil
}

// explain reads what is needed of addresses and has sentences made of it.
func (x *explained) explain(past *archive.Reader, addrs []netip.Addr, tell func(*replay.Explainer) ([]replay.Sentence, error)) error {
	s := x.s
	var err error
	if x.h, err = s.read(reading{addrs: addrs}, handover{}); err != nil {
		return err
	}
	e := replay.Explainer{History: x.h, Live: s.reader.Coverage().Live, Looked: s.lookedAtBoots()}
	if s.reader.Coverage().Here {
		e.Boot = journal.CurrentBoot()
	}
	why, err := s.stand(past, func(b *replay.Standing) (err error) {
		over := e
		over.Standing = b
		x.said, err = tell(&over)
		return err
	})
	if err == nil && why != "" {
		if x.said, err = tell(&e); err == nil {
			x.say("What the next call would do is not known: %s.", why)
		}
	}
	if err != nil {
		return err
	}
	x.folder()
	return x.collect(past)
}

// folder says what the network's data folder has to do with it.
func (x *explained) folder() {
	switch text, c := x.s.folderDoubt(); c {
	case replay.Certain:
	default:
		x.said = append(x.said, replay.Sentence{Text: text + "."})
		x.certainty = max(x.certainty, c)
		x.state.say(text)
		x.state.Certainty = max(c, certaintyOf(x.state.Certainty)).String()
		if c == replay.Unknown {
			x.state.State = replay.StateUnknown.String()
		}
	}
}

func (x *explained) say(format string, args ...any) {
	x.said = append(x.said, replay.Sentence{Text: fmt.Sprintf(format, args...)})
}

// collect reads the events that the sentences rest on.
func (x *explained) collect(past *archive.Reader) error {
	var seqs []journal.Seq
	for _, s := range x.said {
		seqs = append(seqs, s.Events...)
	}
	slices.Sort(seqs)
	for _, seq := range slices.Compact(seqs) {
		rec, ok, err := recordAt(past, seq)
		if err != nil && !isDamage(err) {
			return err
		}
		if !ok {
			continue // it is lost, or in a snapshot alone: the sentence says so
		}
		it := newEvent(&rec)
		it.Network, it.Effective, it.origin = x.s.network, stamp(x.h.Clocks.Point(rec.Event.Seq, rec.Event.Clock).Effective), x.s.origin
		it.Evidence.Node, it.Evidence.StoreID = x.s.meta.Node, x.s.idText()
		x.evidence = append(x.evidence, it)
	}
	return nil
}

// showExplained prints sentences: as text, or with the events that they rest on.
func (a *app) showExplained(ans *answer, all []*explained) error {
	var evidence []eventItem
	for _, x := range all {
		evidence = append(evidence, x.evidence...)
		for _, said := range x.said {
			it := sentenceItem{Schema: "leaselog.sentence/1", Network: x.s.network, Node: x.s.meta.Node, StoreID: x.s.idText(),
				Text: said.Text, Events: []uint64{}, origin: x.s.origin}
			for _, seq := range said.Events {
				it.Events = append(it.Events, uint64(seq))
			}
			ans.Sentences = append(ans.Sentences, it)
		}
	}
	switch a.output {
	case "json":
		return show(a, ans, each(evidence), layout[eventItem]{key: "evidence"})
	case "table":
		return a.showSentences(ans)
	}
	return show(a, ans, each(ans.Sentences), layout[sentenceItem]{csv: sentenceCSV})
}

// showSentences prints sentences for people, store by store.
func (a *app) showSentences(ans *answer) error {
	for _, d := range ans.Doubts {
		a.say("%s", d)
	}
	w := bufio.NewWriter(answerWriter{a})
	before := -1
	for i := range ans.Sentences {
		it := &ans.Sentences[i]
		if before < 0 || ans.Sentences[before].StoreID != it.StoreID || ans.Sentences[before].Network != it.Network {
			fmt.Fprintf(w, "%s:\n", printable.Text(it.title()))
		}
		before = i
		fmt.Fprintf(w, "  %s\n", printable.Text(it.Text))
	}
	return w.Flush()
}

func (it *sentenceItem) title() string {
	return cmp.Or(it.place, "network") + " " + strconv.Quote(it.Network)
}

func (it *sentenceItem) events() string {
	texts := make([]string, len(it.Events))
	for i, seq := range it.Events {
		texts[i] = number(seq)
	}
	return strings.Join(texts, " ")
}

// sentenceCSV are the columns of a sentence; their order is fixed, new ones come last.
var sentenceCSV = []column[sentenceItem]{
	{"network", func(it *sentenceItem) string { return it.Network }},
	{"text", func(it *sentenceItem) string { return it.Text }},
	{"events", (*sentenceItem).events},
	{"node", func(it *sentenceItem) string { return it.Node }},
	{"store_id", func(it *sentenceItem) string { return it.StoreID }},
}
