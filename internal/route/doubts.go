package route

// suspect finds what a condition probably does not mean.
func (c *checker) suspect(root *expr) []*Problem { return nil }

func (p *parser) suspectSource(path string, t token) {}

func (p *parser) suspectAddress(address string, t token) {}

func (p *parser) loops(r *Route) []*Problem { return nil }
