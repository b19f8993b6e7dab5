// Command crash kills the real binary, again and again, under 64 writers, and
// checks after each restart that
//
//   - every acknowledged record is there, at its shard and sequence number, with its bytes;
//   - whatever a reader saw, by GetRecords or fan-out, acknowledged or not, is there at the same number;
//   - no record is there twice, and the calls of a writer are in their order, across splits and merges too;
//   - an acknowledged split or merge has happened;
//   - leases in DynamoDB that were raised under conditions, alone and in transactions, are
//     at the value that was answered last, or one ahead by the call that was cut off;
//   - metrics in CloudWatch sum up to what was answered.
//
// Each cycle starts the server on the files that the last one left (sometimes
// killing it once more while it recovers), reads everything back, then writes,
// reads and reshards until the kill -9 at a random moment. Every ten cycles the
// stream is replaced, so that a run of any length needs bounded memory and disk.
//
// A kill keeps the operating system's page cache: this proves that recovery works on
// real files, not that the sync before an acknowledgement was one. That claim
// rests on the simulated file system in the server's own tests.
//
// The last line is: acked N, lost N, duplicated N.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/rheostream/rheo/interop/daemon"
)

const cyclesPerStream = 10

func main() {
	cycles := flag.Int("cycles", 20, "how often to kill the server")
	binary := flag.String("binary", "", "use this binary instead of building one")
	dir := flag.String("dir", "", "directory of the server's data; by default a temporary one, which is kept if something is wrong")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the random moments and sizes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	total, err := run(ctx, *cycles, *binary, *dir, *seed)
	if err != nil {
		fmt.Println("crash:", err)
	}
	fmt.Printf("seen by readers %d, of those gone %d; out of order %d; reshards acknowledged %d, undone %d\n",
		total.seen, total.gone, total.disordered, total.reshards, total.undone)
	fmt.Printf("lease writes acknowledged %d, leases wrong %d; metric data acknowledged %d, sums wrong %d\n",
		total.leases, total.leasesLost, total.data, total.dataLost)
	fmt.Printf("acked %d, lost %d, duplicated %d\n", total.acked, total.lost, total.duplicated)
	if err != nil || total.wrong() || total.acked == 0 || total.leases == 0 || total.data == 0 {
		os.Exit(1)
	}
}

// A tally is what was found, summed over all cycles.
type tally struct {
	acked, lost, duplicated, disordered int
	seen, gone                          int
	reshards, undone                    int
	leases, leasesLost                  int
	data, dataLost                      int

	held [leaseHolders]int // leases that are counted already
}

func (t tally) wrong() bool {
	return t.lost+t.duplicated+t.disordered+t.gone+t.undone+t.leasesLost+t.dataLost > 0
}

func run(ctx context.Context, cycles int, binary, dir string, seed uint64) (total tally, err error) {
	if binary == "" {
		wd, err := os.Getwd()
		if err != nil {
			return total, err
		}
		if binary, err = daemon.Build(ctx, filepath.Dir(wd)); err != nil {
			return total, err
		}
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "rheo-crash-"); err != nil {
			return total, err
		}
		defer func() {
			if err != nil || total.wrong() {
				fmt.Println("the data is kept in", dir)
				return
			}
			os.RemoveAll(dir)
		}()
	}
	fmt.Printf("%d cycles, seed %d\n", cycles, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var log bytes.Buffer
	config := daemon.Config{Binary: binary, Dir: dir, Log: &log, Args: []string{"--limits", "off"}}
	var s *stream
	var beside *companions
	for cycle := 0; ctx.Err() == nil; cycle++ {
		log.Reset()
		if cycle > 0 && random.IntN(4) == 0 {
			// Recovery that is cut short must leave what the next one can recover from.
			d, err := daemon.Launch(config)
			if err != nil {
				return total, err
			}
			time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
			d.Kill()
		}
		d, err := daemon.Start(ctx, config)
		if err != nil {
			return total, fmt.Errorf("start %d: %w\n%s", cycle, err, log.String())
		}
		if s != nil {
			s.connect(d)
			beside.connect(d)
			if err := errors.Join(s.check(ctx, &total), beside.check(ctx, &total)); err != nil {
				d.Kill()
				return total, fmt.Errorf("check after kill %d: %w\n%s", cycle, err, log.String())
			}
			if total.wrong() {
				d.Kill()
				return total, fmt.Errorf("wrong after kill %d", cycle)
			}
		}
		if cycle == cycles {
			if s != nil {
				total.seen += len(s.seen)
			}
			return total, d.Stop()
		}
		if beside == nil {
			if beside, err = newCompanions(ctx, d); err != nil {
				d.Kill()
				return total, err
			}
		}
		if cycle%cyclesPerStream == 0 {
			if s != nil {
				if err := s.delete(ctx); err != nil {
					d.Kill()
					return total, err
				}
				total.seen += len(s.seen)
			}
			if s, err = newStream(ctx, d, fmt.Sprintf("crash-%d", cycle/cyclesPerStream), random.Uint64()); err != nil {
				d.Kill()
				return total, err
			}
		}
		s.load(ctx, d, beside, time.Duration(50+random.IntN(750))*time.Millisecond)
		if (cycle+1)%10 == 0 || cycle+1 == cycles {
			fmt.Printf("%d kills: %d records acknowledged\n", cycle+1, total.acked+s.ackedSinceCheck)
		}
	}
	return total, ctx.Err()
}
