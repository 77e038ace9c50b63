package install

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Service returns the address of a service that a host offers, such as
// "providers.v1" or "modules.v1", as the CLI configuration or else the host
// itself says. Hosts are asked once. Requests to the service go with the token
// that [Config.Token] has for the host.
func (in *Installer) Service(ctx context.Context, host, name string) (string, error) {
	c, services := in.client(), in.discovery()
	return services.service(ctx, c, host, name)
}

// discovery knows where the services of hosts are.
type discovery struct {
	configured map[string]map[string]string
	lock       sync.Mutex
	asked      map[string]map[string]any // the hosts' answers
}

func (in *Installer) discovery() *discovery {
	in.once.Do(func() {
		in.services = &discovery{configured: in.Config.Services, asked: map[string]map[string]any{}}
	})
	return in.services
}

func (d *discovery) service(ctx context.Context, c client, host, name string) (string, error) {
	host, err := normalHost(host)
	if err != nil {
		return "", err
	}
	base := "https://" + host + "/.well-known/terraform.json"
	if configured, ok := d.configured[host]; ok {
		if configured[name] == "" {
			return "", fmt.Errorf("the CLI configuration gives no %s service for host %s", name, host)
		}
		return resolve(base, configured[name])
	}
	doc, err := d.ask(ctx, c, host, base)
	if err != nil {
		return "", err
	}
	text, ok := doc[name].(string)
	if !ok {
		return "", fmt.Errorf("host %s does not offer the service %s", host, name)
	}
	return resolve(base, text)
}

// ask reads a host's list of services. A host without one offers none.
func (d *discovery) ask(ctx context.Context, c client, host, address string) (map[string]any, error) {
	d.lock.Lock()
	defer d.lock.Unlock()
	if doc, ok := d.asked[host]; ok {
		return doc, nil
	}
	var doc map[string]any
	if err := c.get(ctx, address, host, &doc); err != nil && !errors.Is(err, errNotHere) {
		return nil, fmt.Errorf("could not connect to %s: %w", host, err)
	}
	d.asked[host] = doc
	return doc, nil
}
