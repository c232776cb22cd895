//go:build linux && cgo && verbs

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <infiniband/verbs.h>

#include "ibv.h"

// Some of these are macros in the header that add arguments or look into the library's insides.
#undef ibv_reg_mr
#undef ibv_query_port

static struct {
	struct ibv_device **(*get_device_list)(int *);
	void (*free_device_list)(struct ibv_device **);
	const char *(*get_device_name)(struct ibv_device *);
	struct ibv_context *(*open_device)(struct ibv_device *);
	int (*close_device)(struct ibv_context *);
	int (*query_port)(struct ibv_context *, uint8_t, struct ibv_port_attr *);
	struct ibv_pd *(*alloc_pd)(struct ibv_context *);
	int (*dealloc_pd)(struct ibv_pd *);
	struct ibv_mr *(*reg_mr)(struct ibv_pd *, void *, size_t, int);
	int (*dereg_mr)(struct ibv_mr *);
	struct ibv_comp_channel *(*create_comp_channel)(struct ibv_context *);
	int (*destroy_comp_channel)(struct ibv_comp_channel *);
	struct ibv_cq *(*create_cq)(struct ibv_context *, int, void *, struct ibv_comp_channel *, int);
	int (*destroy_cq)(struct ibv_cq *);
	int (*get_cq_event)(struct ibv_comp_channel *, struct ibv_cq **, void **);
	void (*ack_cq_events)(struct ibv_cq *, unsigned int);
	struct ibv_qp *(*create_qp)(struct ibv_pd *, struct ibv_qp_init_attr *);
	int (*modify_qp)(struct ibv_qp *, struct ibv_qp_attr *, int);
	int (*destroy_qp)(struct ibv_qp *);
} lib;

const char *dfs_load(void) {
	static const char *const names[] = {
		"ibv_get_device_list", "ibv_free_device_list", "ibv_get_device_name", "ibv_open_device", "ibv_close_device",
		"ibv_query_port", "ibv_alloc_pd", "ibv_dealloc_pd", "ibv_reg_mr", "ibv_dereg_mr", "ibv_create_comp_channel",
		"ibv_destroy_comp_channel", "ibv_create_cq", "ibv_destroy_cq", "ibv_get_cq_event", "ibv_ack_cq_events",
		"ibv_create_qp", "ibv_modify_qp", "ibv_destroy_qp",
	};
	_Static_assert(sizeof(names) / sizeof(*names) == sizeof(lib) / sizeof(void *), "a name for each function");
	void *handle = dlopen("libibverbs.so.1", RTLD_NOW);
	if (!handle)
		return "the library libibverbs.so.1 is not installed";
	void **to = (void **)&lib;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		// The newest version of a symbol, which is the one that the header describes.
		if (!(to[i] = dlsym(handle, names[i])))
			return "the library libibverbs.so.1 is too old";
	}
	return NULL;
}

int dfs_list(char *names, int size) {
	int n = 0, at = 0;
	struct ibv_device **all = lib.get_device_list(&n);
	if (!all)
		return -errno;
	for (int i = 0; i < n; i++) {
		const char *name = lib.get_device_name(all[i]);
		int len = (int)strlen(name) + 1;
		if (at + len > size) {
			n = i;
			break;
		}
		memcpy(names + at, name, len);
		at += len;
	}
	lib.free_device_list(all);
	return n;
}

struct ibv_context *dfs_open(const char *name) {
	struct ibv_context *c = NULL;
	struct ibv_device **all = lib.get_device_list(NULL);
	for (int i = 0; all && all[i]; i++) {
		if (strcmp(lib.get_device_name(all[i]), name) == 0) {
			c = lib.open_device(all[i]);
			break;
		}
	}
	if (all)
		lib.free_device_list(all);
	return c;
}

void dfs_close(struct ibv_context *c) { lib.close_device(c); }

int dfs_query_port(struct ibv_context *c, int port, struct dfs_port *p) {
	struct ibv_port_attr attr;
	memset(&attr, 0, sizeof attr);
	int err = lib.query_port(c, port, &attr);
	if (err)
		return err;
	p->lid = attr.lid;
	p->active = attr.state == IBV_PORT_ACTIVE;
	p->ethernet = attr.link_layer == IBV_LINK_LAYER_ETHERNET;
	p->mtu = attr.active_mtu;
	p->iwarp = c->device->transport_type == IBV_TRANSPORT_IWARP;
	return 0;
}

int dfs_register(struct dfs_pair *p, uint64_t at, uint64_t size, int remote, struct ibv_mr **mr, uint32_t *lkey, uint32_t *rkey) {
	int access = IBV_ACCESS_LOCAL_WRITE | (remote ? IBV_ACCESS_REMOTE_WRITE : 0);
	*mr = lib.reg_mr(p->pd, (void *)(uintptr_t)at, size, access);
	if (!*mr)
		return errno ? errno : EINVAL;
	*lkey = (*mr)->lkey;
	*rkey = (*mr)->rkey;
	return 0;
}

int dfs_deregister(struct ibv_mr *mr) { return lib.dereg_mr(mr); }

uint32_t dfs_key(struct ibv_mr *mr) { return mr->lkey; }

static int why(void) { return errno ? errno : EINVAL; }

static int make_qp(struct dfs_pair *p, uint32_t sends, uint32_t receives) {
	// An adapter that takes no payload into its queue, or less of it, is as good.
	static const uint32_t inlines[] = {220, 92, 60, 28, 0};
	for (size_t i = 0; i < sizeof(inlines) / sizeof(*inlines); i++) {
		struct ibv_qp_init_attr init;
		memset(&init, 0, sizeof init);
		init.send_cq = p->cq[0];
		init.recv_cq = p->cq[1];
		init.qp_type = IBV_QPT_RC;
		init.cap.max_send_wr = sends;
		init.cap.max_recv_wr = receives;
		init.cap.max_send_sge = init.cap.max_recv_sge = 1;
		init.cap.max_inline_data = inlines[i];
		errno = 0;
		if ((p->qp = lib.create_qp(p->pd, &init))) {
			p->inline_max = inlines[i];
			return 0;
		}
	}
	return why();
}

int dfs_pair_open(struct dfs_pair *p, struct ibv_context *c, uint32_t sends, uint32_t receives, uint32_t chunk,
	void *stage, uint64_t stage_size, void *slots) {
	p->context = c;
	p->chunk = chunk;
	p->slots_at = (uint64_t)(uintptr_t)slots;
	errno = 0;
	if (!(p->pd = lib.alloc_pd(c)) || !(p->channel = lib.create_comp_channel(c)))
		return why();
	p->fd = p->channel->fd;
	if (fcntl(p->fd, F_SETFL, fcntl(p->fd, F_GETFL) | O_NONBLOCK) < 0)
		return why();
	if (!(p->cq[0] = lib.create_cq(c, (int)sends + 8, NULL, p->channel, 0)) ||
	    !(p->cq[1] = lib.create_cq(c, (int)receives + 8, NULL, p->channel, 0)))
		return why();
	if (!(p->stage = lib.reg_mr(p->pd, stage, stage_size, IBV_ACCESS_LOCAL_WRITE)) ||
	    !(p->slots = lib.reg_mr(p->pd, slots, (size_t)receives * chunk, IBV_ACCESS_LOCAL_WRITE)))
		return why();
	int err = make_qp(p, sends, receives);
	if (err)
		return err;
	struct ibv_qp_attr attr;
	memset(&attr, 0, sizeof attr);
	attr.qp_state = IBV_QPS_INIT;
	attr.port_num = 1;
	attr.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
	return lib.modify_qp(p->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

uint32_t dfs_pair_number(struct dfs_pair *p) { return p->qp->qp_num; }

int dfs_pair_connect(struct dfs_pair *p, int port, int gid_index, const struct dfs_endpoint *local, const struct dfs_endpoint *remote) {
	struct ibv_qp_attr attr;
	memset(&attr, 0, sizeof attr);
	attr.qp_state = IBV_QPS_RTR;
	attr.path_mtu = local->mtu < remote->mtu ? local->mtu : remote->mtu;
	attr.dest_qp_num = remote->number;
	attr.rq_psn = remote->sequence;
	attr.min_rnr_timer = 12;
	attr.ah_attr.port_num = port;
	attr.ah_attr.dlid = remote->lid;
	if (remote->ethernet || remote->lid == 0) {
		attr.ah_attr.is_global = 1;
		memcpy(attr.ah_attr.grh.dgid.raw, remote->gid, 16);
		attr.ah_attr.grh.sgid_index = gid_index;
		attr.ah_attr.grh.hop_limit = 64;
	}
	int err = lib.modify_qp(p->qp, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	if (err)
		return err;
	memset(&attr, 0, sizeof attr);
	attr.qp_state = IBV_QPS_RTS;
	attr.timeout = 17; // 0.5 s, seven times: a machine that is gone is noticed within 5 s
	attr.retry_cnt = 7;
	attr.rnr_retry = 7; // for ever: slots are counted by credits, this is for what is slow to post them
	attr.sq_psn = local->sequence;
	return lib.modify_qp(p->qp, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
		IBV_QP_MAX_QP_RD_ATOMIC);
}

void dfs_pair_stop(struct dfs_pair *p) {
	if (p->qp)
		lib.destroy_qp(p->qp);
	p->qp = NULL;
}

void dfs_pair_close(struct dfs_pair *p) {
	dfs_pair_stop(p);
	if (p->stage)
		lib.dereg_mr(p->stage);
	if (p->slots)
		lib.dereg_mr(p->slots);
	for (int q = 0; q < 2; q++)
		if (p->cq[q])
			lib.destroy_cq(p->cq[q]);
	if (p->channel)
		lib.destroy_comp_channel(p->channel);
	if (p->pd)
		lib.dealloc_pd(p->pd);
	memset(p, 0, sizeof *p);
}

int dfs_pair_receive(struct dfs_pair *p, const uint32_t *slots, int n) {
	while (n > 0) {
		struct ibv_recv_wr wr[32], *bad;
		struct ibv_sge sge[32];
		int k = n < 32 ? n : 32;
		for (int i = 0; i < k; i++) {
			sge[i] = (struct ibv_sge){p->slots_at + (uint64_t)slots[i] * p->chunk, p->chunk, p->slots->lkey};
			wr[i] = (struct ibv_recv_wr){.wr_id = slots[i], .next = i + 1 < k ? &wr[i + 1] : NULL, .sg_list = &sge[i], .num_sge = 1};
		}
		int err = ibv_post_recv(p->qp, wr, &bad);
		if (err)
			return err;
		slots += k;
		n -= k;
	}
	return 0;
}

int dfs_pair_post(struct dfs_pair *p, const struct dfs_request *r, int n) {
	static const enum ibv_wr_opcode ops[] = {IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_SEND_WITH_IMM};
	while (n > 0) {
		struct ibv_send_wr wr[32], *bad;
		struct ibv_sge sge[32];
		int k = n < 32 ? n : 32;
		for (int i = 0; i < k; i++, r++) {
			sge[i] = (struct ibv_sge){r->local, r->size, r->lkey};
			memset(&wr[i], 0, sizeof wr[i]);
			wr[i].wr_id = r->id;
			wr[i].next = i + 1 < k ? &wr[i + 1] : NULL;
			wr[i].sg_list = &sge[i];
			wr[i].num_sge = r->size > 0;
			wr[i].opcode = ops[r->op];
			wr[i].send_flags = (r->flags & 1 ? IBV_SEND_SIGNALED : 0) | (r->flags & 2 ? IBV_SEND_INLINE : 0);
			wr[i].imm_data = htonl(r->imm);
			wr[i].wr.rdma.remote_addr = r->remote;
			wr[i].wr.rdma.rkey = r->rkey;
		}
		int err = ibv_post_send(p->qp, wr, &bad);
		if (err)
			return err;
		n -= k;
	}
	return 0;
}

int dfs_pair_poll(struct dfs_pair *p, int q, struct dfs_completion *into, int n, int looks) {
	struct ibv_wc wc[64];
	int got;
	do
		got = ibv_poll_cq(p->cq[q], n < 64 ? n : 64, wc);
	while (got == 0 && --looks > 0);
	if (got < 0)
		return -EIO;
	for (int i = 0; i < got; i++) {
		into[i].id = wc[i].wr_id;
		into[i].status = wc[i].status;
		into[i].has_imm = wc[i].status == IBV_WC_SUCCESS && (wc[i].wc_flags & IBV_WC_WITH_IMM) != 0;
		into[i].size = wc[i].status == IBV_WC_SUCCESS ? wc[i].byte_len : 0;
		into[i].imm = into[i].has_imm ? ntohl(wc[i].imm_data) : 0;
	}
	return got;
}

int dfs_pair_arm(struct dfs_pair *p, int q) { return ibv_req_notify_cq(p->cq[q], 0); }

int dfs_pair_event(struct dfs_pair *p) {
	struct ibv_cq *cq;
	void *context;
	errno = 0;
	if (lib.get_cq_event(p->channel, &cq, &context))
		return why();
	lib.ack_cq_events(cq, 1);
	return 0;
}
