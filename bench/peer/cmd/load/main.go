// The peer's launchers of a whole node in one process, without libvirt: bench says how often their viewers come and go.
// bench/load.py is the same for the project's agents, and says what is read and written here.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"vmi-service-status/bench/peer/launcher"
)

const (
	tick = 5 * time.Millisecond
	most = 8 // viewers of one VM
)

type agent struct {
	*launcher.Notifier
	sessions uint32
	random   uint32
}

// step lets a viewer come or go, by the same chance in both programs.
func (a *agent) step() {
	a.random = (a.random*1103515245 + 12345) & 0x7fffffff
	come := a.random>>16&1 == 1
	if a.sessions == 0 {
		come = true
	} else if a.sessions == most {
		come = false
	}
	if come {
		a.sessions++
	} else {
		a.sessions--
	}
	a.Change(a.sessions)
}

type agents []*agent

func (all agents) sent() (total int64) {
	for _, one := range all {
		total += one.Sent.Load()
	}
	return total
}

func (all agents) waitSynced(since []int64) {
	for number, one := range all {
		for one.Synced.Load() <= since[number] {
			time.Sleep(time.Millisecond)
		}
	}
}

func (all agents) synced() []int64 {
	found := make([]int64, len(all))
	for number, one := range all {
		found[number] = one.Synced.Load()
	}
	return found
}

// run makes rate events a second, evenly over the agents, and returns when all were answered.
func (all agents) run(rate, seconds float64) map[string]any {
	begin, before, wanted, made := time.Now(), all.sent(), int(rate*seconds), 0
	for made < wanted {
		for due := min(wanted, int(rate*time.Since(begin).Seconds())); made < due; made++ {
			all[made%len(all)].step()
		}
		time.Sleep(tick)
	}
	for all.sent() < before+int64(wanted) {
		time.Sleep(time.Millisecond)
	}
	return map[string]any{"events": wanted, "seconds": time.Since(begin).Seconds()}
}

// set gives every agent so many sessions, one after the other within so many seconds.
func (all agents) set(sessions uint32, seconds float64) map[string]any {
	for _, one := range all {
		if one.sessions != sessions {
			one.sessions = sessions
			one.Change(sessions)
		}
		time.Sleep(time.Duration(seconds / float64(len(all)) * float64(time.Second)))
	}
	return map[string]any{"set": sessions}
}

func answer(what map[string]any) {
	text, err := json.Marshal(what)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var sockets []struct{ Socket, Namespace, Name, UID string }
	if err := json.Unmarshal(text, &sockets); err != nil {
		log.Fatal(err)
	}
	all := make(agents, len(sockets))
	for number, one := range sockets {
		notifier, err := launcher.Dial(one.Socket, launcher.VMI{Namespace: one.Namespace, Name: one.Name, UID: one.UID})
		if err != nil {
			log.Fatal(err)
		}
		all[number] = &agent{Notifier: notifier, random: uint32(number)}
		go notifier.Run(context.Background())
	}
	since := make([]int64, len(all))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var command struct {
			Do            string
			Rate, Seconds float64
			Sessions      uint32
		}
		if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
			log.Fatal(err)
		}
		switch command.Do {
		case "sync":
			all.waitSynced(since)
			since = all.synced()
			answer(map[string]any{"synced": len(all)})
		case "run":
			answer(all.run(command.Rate, command.Seconds))
		case "set", "spread":
			answer(all.set(command.Sessions, command.Seconds))
		}
	}
}
