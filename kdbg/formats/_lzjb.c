/*
 * LZJB, compiled: the twin of decompress_pure in lzjb.py, which says what the format is. Same answers, same errors.
 *
 * Nothing of the input is believed: every read is held against the end of the data, every copy against what has been
 * written, every write against the size that was asked for.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

enum { SHORTEST_COPY = 3, DISTANCE_BITS = 10, DISTANCE_MASK = (1 << DISTANCE_BITS) - 1, GROUP = 8 };

typedef struct {
    enum { DONE, ENDS, POINTS_BEFORE } how;
    Py_ssize_t written;  /* bytes that came out before it ended */
    Py_ssize_t distance; /* of the copy that points before the start */
} Outcome;

static Outcome
expand(const unsigned char *in, Py_ssize_t end, unsigned char *out, Py_ssize_t size)
{
    Py_ssize_t at = 0, to = 0;

    while (to < size) {
        unsigned flags;

        if (at >= end)
            return (Outcome){ENDS, to, 0};
        flags = in[at++];
        if (!flags && end - at >= GROUP && size - to >= GROUP) { /* eight literals: most of what does not repeat */
            memcpy(out + to, in + at, GROUP);
            to += GROUP;
            at += GROUP;
            continue;
        }
        for (int bit = 0; bit < GROUP && to < size; bit++, flags >>= 1) {
            Py_ssize_t length, distance;

            if (!(flags & 1)) {
                if (at >= end)
                    return (Outcome){ENDS, to, 0};
                out[to++] = in[at++];
                continue;
            }
            if (end - at < 2)
                return (Outcome){ENDS, to, 0};
            length = (in[at] >> (DISTANCE_BITS - 8)) + SHORTEST_COPY;
            distance = (in[at] << 8 | in[at + 1]) & DISTANCE_MASK;
            at += 2;
            if (!distance || distance > to)
                return (Outcome){POINTS_BEFORE, to, distance};
            if (length > size - to)
                length = size - to;
            if (distance >= length) {
                memcpy(out + to, out + to - distance, (size_t)length);
                to += length;
            } else { /* a copy that reads what it writes repeats it */
                for (; length > 0; length--, to++)
                    out[to] = out[to - distance];
            }
        }
    }
    return (Outcome){DONE, to, 0};
}

static PyObject *
decompress(PyObject *module, PyObject *args)
{
    Py_buffer data;
    Py_ssize_t size;
    PyObject *plain = NULL;
    Outcome outcome;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*n:decompress", &data, &size))
        return NULL;
    if (size < 0) {
        PyErr_Format(PyExc_ValueError, "lzjb data of %zd bytes cannot give %zd", data.len, size);
    } else if (data.len >= size) {
        plain = PyBytes_FromStringAndSize(data.buf, size);
    } else if ((plain = PyBytes_FromStringAndSize(NULL, size)) != NULL) {
        outcome = expand(data.buf, data.len, (unsigned char *)PyBytes_AS_STRING(plain), size);
        if (outcome.how != DONE) {
            Py_CLEAR(plain);
            if (outcome.how == ENDS)
                PyErr_Format(PyExc_ValueError, "lzjb data of %zd bytes ends after %zd of %zd", data.len,
                             outcome.written, size);
            else
                PyErr_Format(PyExc_ValueError, "lzjb copy from %zd bytes back at %zd", outcome.distance,
                             outcome.written);
        }
    }
    PyBuffer_Release(&data);
    return plain;
}

static PyMethodDef functions[] = {
    {"decompress", decompress, METH_VARARGS,
     "decompress(data, size)\n--\n\nDecompress to exactly ``size`` bytes. Raises `ValueError`."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "kdbg.formats._lzjb", "LZJB, compiled.", 0, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__lzjb(void)
{
    return PyModuleDef_Init(&definition);
}
