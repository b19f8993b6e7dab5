//go:build linux

package process

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestIsolation: a function looks for what it must not see, behind each kind of wall.
// What it must see is tried as well, so that a function that sees nothing does not pass.
func TestIsolation(t *testing.T) {
	data := filepath.Join(openTemp(t), "data") // as rheo's: for nobody else
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(data, "keys")
	open := filepath.Join(openTemp(t), "readable") // by every user of the machine
	for _, name := range []string{secret, open} {
		if err := os.WriteFile(name, []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// A file that somebody forgot to close on exec, with a number that is not reused.
	leaked, err := unix.Open(secret, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leaked)
	// Another listener of rheo.
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go http.Serve(other, http.NotFoundHandler())

	// A container engine's socket, say, of a group that rheo's user is in.
	engine := filepath.Join(filepath.Dir(open), "engine.sock")
	l, err := net.Listen("unix", engine)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(engine, 0o777); err != nil {
		t.Fatal(err)
	}

	onEachWall(t, func(t *testing.T, wall Wall) {
		r := newRunner(t, func(c *Config) { c.Walls = []Wall{wall} })
		victim := goFunction(t, "echo")
		mustSucceed(t, r, victim, `"here"`)
		var victimAPI, victimCode string
		var victimPID int
		for in := range r.live {
			victimAPI, victimPID = in.apiAddr, in.kept.Load().pid
		}
		codes, _ := filepath.Glob(filepath.Join(r.code.dir, "*", "bootstrap"))
		if len(codes) != 1 {
			t.Fatalf("the victim's code is at %v", codes)
		}
		victimCode = codes[0]
		// The looker has code of its own.
		looker := lookerFunction(t)

		own := strconv.Itoa(os.Getpid())
		denied := []string{
			"read " + secret, "list " + data, "read " + open,
			"read /proc/" + own + "/environ", "read /proc/" + own + "/mem", "list /proc/" + own + "/fd", "read /proc/" + own + "/cmdline", "read /proc/" + own + "/maps",
			"read /proc/" + own + "/root" + open, "read /proc/" + own + "/cwd/go.mod",
			"read /proc/" + strconv.Itoa(victimPID) + "/environ",
			"read /etc/shadow", "list /root", "list /home", "read /proc/kcore", "list /sys/kernel/debug",
			"write /usr/lib/evil", "write /etc/evil", "write /evil", "write /dev/evil", "write " + filepath.Join(data, "evil"),
			"write " + filepath.Join(r.clientDir, "evil"), "write /var/task/evil", "write /var/runtime/evil",
			"dial " + other.Addr().String(), "dial 169.254.169.254:80", "dial [fd00:ec2::254]:80",
			"signal " + own, "signal " + strconv.Itoa(victimPID), "unshare", "mptcp",
			"unix " + engine,
		}
		if wall == WallLandlock {
			// In namespaces that is the looker's own.
			denied = append(denied, "dial "+victimAPI)
			denied = append(denied, "list "+r.tempDir, "list /etc")
		} else {
			denied = append(denied, "read "+victimCode, "list "+r.config.Dir, "list /proc/"+own,
				"read /proc/1/environ", "read /proc/1/mem", "read /proc/1/fd/0", "list /proc/1/root/") // its keeper's
		}
		allowed := []string{"list /usr/lib", "read /dev/urandom", "read /proc/cpuinfo", "write /dev/null"}
		if wall != WallLandlock {
			allowed = append(allowed, "write /tmp/mine", "list /var/task", "read /var/task/bootstrap")
		}
		told := []string{"uid", "status NoNewPrivs", "status CapEff", "status CapPrm", "status CapBnd", "status Seccomp", "status Groups", "files"}
		things, _ := json.Marshal(append(append(append([]string{}, denied...), allowed...), told...))
		var got map[string]string
		if err := json.Unmarshal([]byte(mustSucceed(t, r, looker, string(things))), &got); err != nil {
			t.Fatal(err)
		}
		for _, thing := range denied {
			if got[thing] == "open" {
				t.Errorf("%s: it can", thing)
			} else if testing.Verbose() {
				t.Logf("%s: %s", thing, got[thing])
			}
		}
		for _, thing := range allowed {
			if got[thing] != "open" {
				t.Errorf("%s: %s", thing, got[thing])
			}
		}
		for thing, want := range map[string]string{"status NoNewPrivs": "1", "status CapEff": "0000000000000000", "status CapPrm": "0000000000000000", "status Seccomp": "2"} {
			if got[thing] != want {
				t.Errorf("%s is %s", thing, got[thing])
			}
		}
		switch uid, _ := strconv.Atoi(got["uid"]); {
		case os.Getuid() == 0 && (uid < 58000 || uid > 58999):
			t.Errorf("its user is %d", uid)
		case wall == WallUserNamespaces && uid != userInside:
			t.Errorf("its user is %d", uid)
		}
		if os.Getuid() == 0 && strings.TrimSpace(got["status Groups"]) != "" {
			t.Errorf("its groups are %s", got["status Groups"])
		}
		if strings.Contains(got["files"], "keys") || strings.Contains(got["files"], ".go") {
			t.Errorf("its open files are %s", got["files"])
		}
		if i := r.Isolation(); i.Wall != wall || i.LandlockABI == 0 || !i.Seccomp || !strings.Contains(i.String(), "not the boundary of a virtual machine") {
			t.Errorf("Isolation says %v", i)
		}
		if got := mustSucceed(t, r, victim, `"still here"`); got != `"still here"` {
			t.Errorf("the victim answers %s", got)
		}
	})
}

// lookerFunction has code that differs from other functions' by a file.
func lookerFunction(t *testing.T) *Function {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return functionOf(zipOf(t, []entry{{"bootstrap", string(self), 0o755}, {"looker", "", 0o644}}), "provided.al2023", "look")
}

// TestStrangersAtTheRuntimeInterface: a process of the machine that is not the function's
// gets nothing from its Runtime API.
func TestStrangersAtTheRuntimeInterface(t *testing.T) {
	if err := refusals()[WallLandlock]; err != nil {
		t.Skip(err)
	}
	r := newRunner(t, func(c *Config) { c.Walls = []Wall{WallLandlock} })
	fn := goFunction(t, "echo")
	mustSucceed(t, r, fn, `"here"`)
	var addr string
	for in := range r.live {
		addr = in.apiAddr
	}
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{}}
	resp, err := client.Get("http://" + addr + apiRoot + "invocation/next")
	if err == nil {
		resp.Body.Close()
		t.Errorf("a stranger is answered %s", resp.Status)
	} else if os.IsTimeout(err) {
		t.Errorf("a stranger is let wait: %v", err)
	}
	if got := mustSucceed(t, r, fn, `"still here"`); got != `"still here"` {
		t.Errorf("the function answers %s", got)
	}
}

// TestEndpoint: functions reach rheo's endpoint at its own address, by name too, and
// nothing else of the machine.
func TestEndpoint(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go http.Serve(l, http.NotFoundHandler())
	_, port, _ := net.SplitHostPort(l.Addr().String())
	onEachWall(t, func(t *testing.T, wall Wall) {
		for _, host := range []string{"127.0.0.1", "localhost"} {
			r := newRunner(t, func(c *Config) { c.Walls = []Wall{wall}; c.Endpoint = mustURL(t, "http://"+host+":"+port) })
			var got map[string]string
			thing := "dial " + host + ":" + port
			json.Unmarshal([]byte(mustSucceed(t, r, goFunction(t, "look"), fmt.Sprintf("[%q]", thing))), &got)
			if got[thing] != "open" {
				t.Errorf("%s: %s", thing, got[thing])
			}
		}
	})
}

// TestEgress: the way out is Config.Egress, and so are its rules.
func TestEgress(t *testing.T) {
	if err := refusals()[walls()[0]]; err != nil {
		t.Skip(err)
	}
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	go http.Serve(target, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "out there") }))
	r := newRunner(t, func(c *Config) { c.Egress = egressTo(target.Addr().String()) })
	fn := goFunction(t, "get")
	if got := mustSucceed(t, r, fn, `"http://service.example/"`); got != `"200 out there"` {
		t.Errorf("by the proxy: %s", got)
	}
	if got := mustSucceed(t, r, fn, `"http://forbidden.example/"`); !strings.Contains(got, "502") || !strings.Contains(got, "not allowed") {
		t.Errorf("what the rules forbid: %s", got)
	}
	if got := mustSucceed(t, r, fn, `"CONNECT service.example:443"`); got != `"200 out there"` {
		t.Errorf("by a tunnel: %s", got)
	}
}

// TestAsAnotherUser runs the tests that depend on who rheo is as a user without rights.
func TestAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this is the other user")
	}
	if testing.Short() {
		t.Skip("long")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^(TestInvoke|TestEnvironment|TestDisk|TestForkBomb|TestLeftBehind|TestServerKilled|TestIsolation|TestStrangers.*|TestEndpoint|TestEgress)$")
	if testing.Verbose() {
		cmd.Args = append(cmd.Args, "-test.v")
	}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=/tmp"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 57999, Gid: 57999}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// TestIsolationIsSaid: what is not in force is named, and without any wall nothing runs.
func TestIsolationIsSaid(t *testing.T) {
	if err := refusals()[WallLandlock]; err != nil {
		t.Skip(err)
	}
	r := newRunner(t, func(c *Config) { c.Walls = []Wall{WallLandlock} })
	if s := r.Isolation().String(); !regexp.MustCompile(`Not in force: .*a network of its own`).MatchString(s) {
		t.Error(s)
	}
	if _, err := New(Config{Dir: t.TempDir(), Walls: []Wall{}}); err == nil || !strings.Contains(err.Error(), "cannot be kept from rheo's files") {
		t.Errorf("without walls: %v", err)
	}
	if os.Getuid() == 0 {
		hidden := filepath.Join(t.TempDir(), "hidden")
		os.Mkdir(hidden, 0o700)
		if _, err := New(Config{Dir: filepath.Join(hidden, "functions"), Walls: []Wall{WallLandlock}}); err == nil || !strings.Contains(err.Error(), "cannot pass through "+hidden) {
			t.Errorf("in a directory that functions' users cannot reach: %v", err)
		}
	}
}
