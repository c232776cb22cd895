// What fabric/verbs asks of libibverbs. The library is loaded when the program runs: without it there are no
// adapters, and nothing else changes.

#include <stdint.h>

struct dfs_request {
	uint64_t id, local, remote;
	uint32_t size, lkey, rkey, imm, op, flags;
};

struct dfs_completion {
	uint64_t id;
	uint32_t size, imm, status, has_imm;
};

struct dfs_endpoint {
	uint32_t number, sequence;
	uint16_t lid;
	uint8_t ethernet, mtu;
	uint8_t gid[16];
};

struct dfs_port {
	uint16_t lid;
	uint8_t active, ethernet, mtu, iwarp;
};

struct dfs_pair {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq[2]; // 0 of sends, 1 of receives
	struct ibv_qp *qp;
	struct ibv_mr *stage, *slots;
	uint64_t slots_at;
	uint32_t chunk, inline_max;
	int fd;
};

// All return 0 or an errno, but where they say otherwise.
const char *dfs_load(void); // NULL, or why not
int dfs_list(char *names, int size); // names end in zeros; returns how many, or -errno
struct ibv_context *dfs_open(const char *name);
void dfs_close(struct ibv_context *c);
int dfs_query_port(struct ibv_context *c, int port, struct dfs_port *p);

int dfs_pair_open(struct dfs_pair *p, struct ibv_context *c, uint32_t sends, uint32_t receives, uint32_t chunk,
	void *stage, uint64_t stage_size, void *slots);
int dfs_pair_connect(struct dfs_pair *p, int port, int gid_index, const struct dfs_endpoint *local, const struct dfs_endpoint *remote);
uint32_t dfs_pair_number(struct dfs_pair *p);
void dfs_pair_stop(struct dfs_pair *p); // nothing lands after it
void dfs_pair_close(struct dfs_pair *p);
int dfs_pair_receive(struct dfs_pair *p, const uint32_t *slots, int n);
int dfs_pair_post(struct dfs_pair *p, const struct dfs_request *r, int n);
int dfs_pair_poll(struct dfs_pair *p, int q, struct dfs_completion *into, int n, int looks); // how many, or -errno
int dfs_pair_arm(struct dfs_pair *p, int q);
int dfs_pair_event(struct dfs_pair *p); // takes one event; EAGAIN if there is none

int dfs_register(struct dfs_pair *p, uint64_t at, uint64_t size, int remote, struct ibv_mr **mr, uint32_t *lkey, uint32_t *rkey);
int dfs_deregister(struct ibv_mr *mr);
uint32_t dfs_key(struct ibv_mr *mr);
