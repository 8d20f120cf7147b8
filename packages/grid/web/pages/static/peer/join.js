/* Grid, Apache-2.0. Parts of others: NOTICES.txt, beside this file. */
import{A as r}from"./part-BEHMW4jD.js";r();