package api

// Routes lists the server's routes as "METHOD /path".
func Routes() []string {
	var list []string
	for _, r := range (&Server{}).routes() {
		list = append(list, r.method+" "+r.path)
	}
	return list
}
