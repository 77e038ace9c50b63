package sources

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMessagesRead(t *testing.T) {
	r, err := newReader("/nats/n")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0).UTC()
	binary := http.Header{"ce-specversion": {"1.0"}, "ce-id": {"7"}, "ce-source": {"/a"}, "ce-type": {"b%20c"}, "content-type": {"application/json"}}
	for name, c := range map[string]struct {
		message message
		want    string // id, source, type, data
	}{
		"JSON":       {message{"1", "a b", nil, []byte(`{"x":1}`)}, `1 /nats/n message.received {"x":1}`},
		"text":       {message{"1", "s", nil, []byte("hi")}, `1 /nats/n message.received "hi"`},
		"bytes":      {message{"1", "s", nil, []byte("\xff")}, `1 /nats/n message.received "/w=="`},
		"empty":      {message{"1", "s", nil, nil}, `1 /nats/n message.received `},
		"structured": {message{"1", "s", http.Header{"Content-Type": {"application/cloudevents+json"}}, []byte(`{"specversion":"1.0","id":"9","source":"/z","type":"t","data":5}`)}, `9 /z t 5`},
		"binary":     {message{"1", "s", binary, []byte(`{"y":2}`)}, `7 /a b c {"y":2}`},
		"headers of others": {message{"1", "s", http.Header{"Nats-Expected-Stream": {"x"}, "Content-Type": {"application/json"}}, []byte(`{"broken`)},
			`1 /nats/n message.received "{\"broken"`},
		"broken": {message{"1", "s", http.Header{"Content-Type": {"application/cloudevents+json"}}, []byte(`{}`)}, "passed over"},
	} {
		list, err := r.read(c.message, now)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprintf("%s %s %s %s", list[0].ID, list[0].Source, list[0].Type, list[0].Data)
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	first, _ := r.read(message{subject: "s"}, now)
	second, _ := r.read(message{subject: "s"}, now)
	if first[0].ID == second[0].ID {
		t.Error("two messages without an id have the same")
	}
}

func TestNATS(t *testing.T) {
	path, at, dir := program(t, "usr/sbin/nats-server"), address(t), t.TempDir()
	host, port, _ := strings.Cut(at, ":")
	args := []string{"-a", host, "-p", port, "-js", "-sd", dir, "--auth", "let-me-in"}
	server := t // it outlives the parts of the test
	stop := serve(server, at, path, args...)
	connect := func() *nats.Conn {
		c, err := nats.Connect("nats://"+at, nats.Token("let-me-in"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	c := connect()
	plain := &NATS{Name: "plain", Servers: []string{"nats://" + at}, Subject: "deploy.>", Token: "let-me-in"}
	stored := &NATS{Name: "stored", Servers: plain.Servers, Subject: "orders.*", Stream: "ORDERS", Token: "let-me-in"}
	for _, n := range []*NATS{plain, stored} {
		if err := n.Check(); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("without a stream", func(t *testing.T) {
		b := newBox()
		start(t, plain, b)
		// It listens some time after it started: what came before is lost.
		for i := 0; len(b.arrived) == 0; i++ {
			if err := c.Publish("deploy.probe", []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
			select {
			case e := <-b.arrived:
				b.arrived <- e
			case <-time.After(50 * time.Millisecond):
			}
		}
		m := nats.NewMsg("deploy.done")
		m.Header.Set(nats.MsgIdHdr, "my id")
		m.Data = []byte(`{"version":3}`)
		if err := c.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		for {
			if e := b.next(t); e.Subject == "deploy.done" {
				if e.ID != "my id" || e.Source != "/nats/plain" || string(e.Data) != `{"version":3}` {
					t.Errorf("%+v %s", e, e.Data)
				}
				break
			}
		}
	})

	t.Run("a stream", func(t *testing.T) {
		js, err := jetstream.New(c)
		if err != nil {
			t.Fatal(err)
		}
		b := newBox()
		r := start(t, stored, b)
		if err := r.wait(t, true); !strings.Contains(err.Error(), "ORDERS") {
			t.Errorf("trouble is %v", err)
		}
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.*"}}); err != nil {
			t.Fatal(err)
		}
		const count = 300
		publish := func(js jetstream.JetStream, from, to int) {
			for i := from; i < to; i++ {
				if _, err := js.Publish(t.Context(), "orders.new", fmt.Appendf(nil, `{"n":%d}`, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		publish(js, 0, 100)
		r.wait(t, false)
		b.mutex.Lock()
		b.fail = 5 // what does not get into the inbox comes again
		b.mutex.Unlock()
		publish(js, 100, 200)
		r.stop()
		start(t, stored, b)
		// The server dies and comes back.
		stop()
		serve(server, at, path, args...)
		c2 := connect()
		js, err = jetstream.New(c2)
		if err != nil {
			t.Fatal(err)
		}
		publish(js, 200, count)
		seen := map[string]int{}
		for len(seen) < count {
			e := b.next(t)
			seen[string(e.Data)]++
			if seen[string(e.Data)] > 1 {
				t.Errorf("%s is there twice", e.Data)
			}
		}
	})

	t.Run("not let in", func(t *testing.T) {
		wrong := *plain
		wrong.Token = "wrong"
		err := start(t, &wrong, newBox()).wait(t, true)
		if !strings.Contains(strings.ToLower(err.Error()), "authorization") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("trouble is %v", err)
		}
	})
}

func TestMQTT(t *testing.T) {
	path, at, dir := program(t, "usr/sbin/mosquitto"), address(t), t.TempDir() //nolint:misspell // its name
	config := filepath.Join(dir, "mosquitto.conf")
	host, port, _ := strings.Cut(at, ":")
	if err := os.WriteFile(config, []byte("listener "+port+" "+host+"\nallow_anonymous true\npersistence true\nautosave_interval 1\nautosave_on_changes true\npersistence_location "+dir+"/\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	serve(t, at, path, "-c", config)
	m := &MQTT{Name: "m", Server: "mqtt://" + at, Topics: []string{"sensors/+/state"}}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	server, _ := url.Parse(m.Server)
	up := make(chan struct{}, 1)
	sender, err := autopaho.NewConnection(t.Context(), autopaho.ClientConfig{
		ServerUrls: []*url.URL{server}, KeepAlive: 30, OnConnectionUp: func(*autopaho.ConnectionManager, *paho.Connack) { up <- struct{}{} },
		ClientConfig: paho.ClientConfig{ClientID: "sender"},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-up
	defer func() { _ = sender.Disconnect(context.Background()) }()
	publish := func(text string, properties *paho.PublishProperties) {
		t.Helper()
		if _, err := sender.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: "sensors/a/state", Payload: []byte(text), Properties: properties}); err != nil {
			t.Fatal(err)
		}
	}
	b := newBox()
	r := start(t, m, b)
	// It listens some time after it started.
	for len(b.arrived) == 0 {
		publish("probe", nil)
		select {
		case e := <-b.arrived:
			b.arrived <- e
		case <-time.After(50 * time.Millisecond):
		}
	}
	skip := func() string {
		for {
			if e := b.next(t); string(e.Data) != `"probe"` {
				return fmt.Sprintf("%s %s %s %s", e.Source, e.Type, e.Subject, e.Data)
			}
		}
	}
	publish(`{"on":true}`, nil)
	if got, want := skip(), `/mqtt/m message.received sensors/a/state {"on":true}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	publish(`{"on":false}`, &paho.PublishProperties{ContentType: "application/json", User: paho.UserProperties{
		{Key: "specversion", Value: "1.0"}, {Key: "id", Value: "100%"}, {Key: "source", Value: "/door"}, {Key: "type", Value: "door.closed"}, {Key: "Other-One", Value: "x"},
	}})
	if got, want := skip(), `/door door.closed  {"on":false}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// The session outlives who listens, and the inbox that refuses.
	r.stop()
	for i := range 50 {
		publish(fmt.Sprintf(`{"n":%d}`, i), nil)
	}
	b.mutex.Lock()
	b.fail = 1
	b.mutex.Unlock()
	start(t, m, b)
	seen := map[string]bool{}
	for len(seen) < 50 {
		seen[skip()] = true
	}
}

// TestMQTTAcknowledges: a server that goes on with a session sends what it has at once. Each
// message is acknowledged, in order, up to one that did not get into the inbox.
func TestMQTTAcknowledges(t *testing.T) {
	const count, refused = 30, 20
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	// serve sends the messages to the next who connects and returns what of them was
	// acknowledged when the connection ends, or when all is.
	serve := func() (acknowledged []uint16, err error) {
		c, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return nil, err
		}
		if _, err := packets.ReadPacket(c); err != nil {
			return nil, err
		}
		// In one piece: all is there before the client has looked at the first.
		var all bytes.Buffer
		_, err = (&packets.Connack{SessionPresent: true, Properties: &packets.Properties{}}).WriteTo(&all)
		for i := range count {
			if err == nil {
				_, err = (&packets.Publish{QoS: 1, Topic: "a", PacketID: uint16(i + 1), Payload: []byte("{}"), Properties: &packets.Properties{}}).WriteTo(&all)
			}
		}
		if err == nil {
			_, err = c.Write(all.Bytes())
		}
		for err == nil && len(acknowledged) < count {
			var p *packets.ControlPacket
			if p, err = packets.ReadPacket(c); err != nil {
				break
			}
			switch content := p.Content.(type) {
			case *packets.Puback:
				acknowledged = append(acknowledged, content.PacketID)
			case *packets.Subscribe:
				_, err = (&packets.Suback{PacketID: content.PacketID, Reasons: []byte{1}, Properties: &packets.Properties{}}).WriteTo(c)
			case *packets.Disconnect:
				return acknowledged, nil
			}
		}
		return acknowledged, err
	}
	m := &MQTT{Name: "m", Server: "mqtt://" + listener.Addr().String(), Topics: []string{"a"}}
	for round := range 8 {
		b, refuses := newBox(), round%4 == 3
		if refuses {
			b.refuse = refused
		}
		r := start(t, m, b)
		got, err := serve()
		if !refuses && (len(got) != count || err != nil) || refuses && len(got) >= refused {
			t.Errorf("acknowledged were %d: %v", len(got), err)
		}
		for i, id := range got {
			if id != uint16(i+1) {
				t.Fatalf("acknowledged were, in this order, %v", got)
			}
		}
		r.stop()
	}
}

func TestMessagesCheck(t *testing.T) {
	for want, s := range map[string]interface{ Check() error }{
		"no server":      &NATS{Subject: "a"},
		"a subject":      &NATS{Servers: []string{"nats://a"}, Subject: "a b"},
		"either a token": &NATS{Servers: []string{"nats://a"}, Subject: "a", Token: "x", User: "y"},
		"no password":    &NATS{Servers: []string{"nats://a:b@c"}, Subject: "a"},
		"without spaces": &NATS{Servers: []string{"nats://a"}, Subject: "a", Group: "a.b"},
		"the address":    &MQTT{Topics: []string{"a"}},
		"hold no":        &MQTT{Server: "mqtt://a:b@c", Topics: []string{"a"}},
		"no topic":       &MQTT{Server: "mqtt://a"},
		"no way":         &MQTT{Server: "http://a", Topics: []string{"a"}},
		"30 days":        &MQTT{Server: "mqtt://a", Topics: []string{"a"}, Keep: 1e18},
	} {
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
