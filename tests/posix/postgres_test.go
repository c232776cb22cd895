package posix

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// postgres runs a database server on a directory of a mount, as a user who is not root.
type postgres struct {
	*world
	bin     string // directory of its programs
	local   string // for sockets and logs, on the machine's own filesystem
	who     *syscall.Credential
	data    string // below the world's directory
	starts  int
	process *exec.Cmd
}

// newPostgres finds the programs and makes a database at a mount.
func newPostgres(t *testing.T, node int) *postgres {
	t.Helper()
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	at := slices.IndexFunc(dirs, func(dir string) bool { _, err := os.Stat(filepath.Join(dir, "initdb")); return err == nil })
	if at < 0 {
		t.Skip("PostgreSQL is not installed")
	}
	nobody, err := osuser.Lookup("nobody")
	if err != nil {
		t.Skip("there is no user nobody to run PostgreSQL as")
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	p := &postgres{world: newWorld(t, true), bin: dirs[at], data: "pg", who: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if p.local, err = os.MkdirTemp("", "pg"); err != nil { // short: the name of a socket is
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill(); os.RemoveAll(p.local) })
	if err := os.Chown(p.local, uid, gid); err != nil {
		t.Fatal(err)
	}
	p.run("initdb", "-D", p.dataAt(node), "-U", "postgres", "-A", "trust", "--data-checksums", "--no-sync", "--no-locale")
	return p
}

func (p *postgres) dataAt(node int) string { return filepath.Join(cluster.mount(node), p.dir, p.data) }

func (p *postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.local
	cmd.Env = append(os.Environ(), "PGHOST="+p.local, "PGUSER=postgres", "PGDATABASE=postgres", "HOME="+p.local)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.who}
	return cmd
}

func (p *postgres) run(name string, args ...string) string {
	p.Helper()
	out, err := p.command(name, args...).CombinedOutput()
	if err != nil {
		p.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// start starts the server on the database as one mount has it, and waits until it answers.
func (p *postgres) start(node int) {
	p.Helper()
	p.starts++
	log, err := os.Create(filepath.Join(p.local, fmt.Sprint("log", p.starts)))
	if err != nil {
		p.Fatal(err)
	}
	defer log.Close()
	p.process = p.command("postgres", "-D", p.dataAt(node), "-k", p.local, "-c", "listen_addresses=", "-c", "fsync=on", "-c", "full_page_writes=on")
	p.process.Stdout, p.process.Stderr = log, log
	if err := p.process.Start(); err != nil {
		p.Fatal(err)
	}
	within(p, time.Minute, func() bool { return p.command("pg_isready", "-q").Run() == nil }, func() string {
		text, _ := os.ReadFile(log.Name())
		return "PostgreSQL does not start:\n" + string(text)
	})
}

// kill ends the server as a crash would.
func (p *postgres) kill() {
	if p.process == nil {
		return
	}
	_ = p.process.Process.Signal(syscall.SIGQUIT) // it ends its own processes, and saves nothing
	end := time.AfterFunc(10*time.Second, func() { _ = p.process.Process.Kill() })
	_ = p.process.Wait()
	end.Stop()
	p.process = nil
}

// within waits until something is so.
func within(t testing.TB, limit time.Duration, so func() bool, why func() string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !so(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal(why())
		}
	}
}

// commit inserts rows one by one, each in a transaction of its own, and passes on the numbers that were acknowledged,
// until the server is gone.
func (p *postgres) commit(first int, acknowledged chan<- int) error {
	cmd := p.command("psql", "-qAtX", "-v", "ON_ERROR_STOP=1")
	var script strings.Builder
	for i := first; i < first+100_000; i++ {
		fmt.Fprintf(&script, "INSERT INTO ledger VALUES (%d) RETURNING n;\n", i)
	}
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		acknowledged <- n
	}
	_ = cmd.Wait() // the server went away
	return nil
}

// PostgreSQL runs at one mount; its node dies while transactions are committed. Started at another mount, it has every
// transaction that was acknowledged, and no damaged page.
func TestPostgres(t *testing.T) {
	p := newPostgres(t, 1)
	p.start(1)
	p.run("psql", "-qX", "-c", "CREATE TABLE ledger (n bigint PRIMARY KEY)")
	if out := p.run("pgbench", "-i", "-q", "-s", "1"); strings.Contains(out, "ERROR") {
		t.Fatal(out)
	}
	p.run("pgbench", "-c", "2", "-t", "50", "-n")

	const sessions, enough = 3, 300
	acknowledged := make(chan int, sessions*100_000)
	var all sync.WaitGroup
	for s := range sessions {
		all.Go(func() {
			if err := p.commit(1+s*1_000_000, acknowledged); err != nil {
				t.Error(err)
			}
		})
	}
	within(t, time.Minute, func() bool { return len(acknowledged) >= enough }, func() string { return "transactions are not committed" })
	if err := cluster.dfs("dev", "kill", filepath.Join(cluster.dir, "c"), "2"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.dfs("dev", "restart", filepath.Join(cluster.dir, "c"), "2"); err != nil {
			t.Fatal(err)
		}
	}()
	p.kill()
	all.Wait()
	close(acknowledged)

	// The file says that a process of this machine has the database; on another machine nobody would know it.
	p.shell(0, "rm pg/postmaster.pid")
	p.start(0)
	has := map[string]bool{}
	for n := range strings.FieldsSeq(p.run("psql", "-qAtX", "-c", "SELECT n FROM ledger")) {
		has[n] = true
	}
	count := 0
	for n := range acknowledged {
		if count++; !has[fmt.Sprint(n)] {
			t.Errorf("transaction %d was acknowledged and is not there", n)
		}
	}
	if got := p.run("psql", "-qAtX", "-c", "SELECT sum(abalance) = (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_accounts"); got != "t\n" {
		t.Errorf("the sums of pgbench differ: %q", got)
	}
	p.run("pgbench", "-c", "2", "-t", "20", "-n")
	p.run("pg_ctl", "-D", p.dataAt(0), "-m", "fast", "stop")
	_ = p.process.Wait()
	p.process = nil
	p.run("pg_checksums", "--check", "-D", p.dataAt(2))
	t.Logf("%d transactions acknowledged before the node died, and all there", count)
}
