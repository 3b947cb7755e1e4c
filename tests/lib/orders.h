/* orders.h - a small network to give orders in: cic-luik with its neighbours, a relocator, and sites enough to be too many. */
#ifndef TESTS_ORDERS_H
#define TESTS_ORDERS_H

#include "proto/order.h"

enum { BRUSSEL = 1 /* the relocator */, LUIK = 2, NAMEN = 3, LEUVEN = 4, ANTWERPEN = 5, HAINAUT = 6, MANY = 20 };
enum { EUPEN = 1 /* of Luik */, DINANT = 2 /* of Namen */ };
#define MANY_SITES 10 /* from MANY on */

/* Serial 5, quorum 3. Each site's queues are dispatch and messages. Never freed. */
const struct roster *orders_roster(void);
/* A site's identity key; of site 0 the authority's. */
struct sign_secret orders_key(uint16_t site);

/* A relocation without assignments yet; before NULL: zeros. */
struct order orders_relocation(uint16_t site, uint16_t issuer, uint32_t epoch, const struct hash *before);
void orders_assign_all(struct order *o, uint16_t to);
void orders_assign_queue(struct order *o, uint16_t to, const char *queue);
void orders_assign_area(struct order *o, uint16_t to, uint16_t area);
void orders_assign_share(struct order *o, uint16_t to, uint16_t from, uint16_t until);

#endif
